/** What a project says of its builds: read to the last key, wrong with its line, and after the flags. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adviceFor, aboutNetwork, type Surroundings } from '../../src/services/builds/advice.ts'
import { parseElderJson } from '../../src/services/builds/elder-json.ts'
import { JsonTextError, parseJsonText } from '../../src/services/builds/json-text.ts'
import { devcontainerImage, isWish, readRecipe } from '../../src/services/builds/recipe.ts'
import type { BuildRequest } from '../../src/api.ts'
import { MemorySource } from '../support/memory-source.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const build = (value: unknown): Uint8Array => bytes(JSON.stringify({ build: value }))

describe('JSON with lines', () => {
  test('it reads what JSON.parse reads', () => {
    fc.assert(fc.property(fc.jsonValue(), fc.integer({ min: 0, max: 4 }), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      expect(JSON.parse(JSON.stringify(parseJsonText(text).value))).toEqual(JSON.parse(text))
    }))
  })

  test('whatever it is given, it reads it or names a line of it', () => {
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:/*\\\n1e-.tru \u0000') }), fc.boolean(), (text, comments) => {
      try {
        parseJsonText(text, { comments })
      } catch (error) {
        expect(error).toBeInstanceOf(JsonTextError)
        expect((error as JsonTextError).line).toBeLessThanOrEqual(text.split('\n').length)
        if (!comments) expect(() => JSON.parse(text) as unknown).toThrow()
        return
      }
      if (!comments) JSON.parse(text)
    }))
  })

  test('comments and trailing commas only where a file may have them; values know their line', () => {
    const text = '// an editor\'s file\n{\n  "image": "node:24", /* the\n  newest */\n  "list": [1,\n    2, ],\n}\n'
    const { value, lineOf } = parseJsonText(text, { comments: true })
    expect(value).toEqual({ image: 'node:24', list: [1, 2] })
    expect([lineOf(['image']), lineOf(['list']), lineOf(['list', 1]), lineOf(['list', 9]), lineOf(['nope'])]).toEqual([3, 5, 6, 5, 1])
    expect(() => parseJsonText(text)).toThrow(JsonTextError)
    expect(() => parseJsonText('[1,]')).toThrow(/expected a value/)
  })

  test('no prototype, no key twice, no depth without end', () => {
    expect(Object.keys(parseJsonText('{"__proto__":1,"constructor":2}').value as object)).toEqual(['__proto__', 'constructor'])
    expect(() => parseJsonText('{"a":1,\n"a":2}')).toThrow(/"a" stands there twice/)
    expect(() => parseJsonText('['.repeat(100_000))).toThrow(/too deep/)
  })

  test('a long key costs its length once, however much stands below it (it stopped a node for ten minutes)', () => {
    const key = 'k'.repeat(32_000)
    const { lineOf } = parseJsonText(`{"${key}":\n[${'1,'.repeat(16_000)}\n1]}`)
    expect([lineOf([key]), lineOf([key, 15_999]), lineOf([key, 16_000])]).toEqual([2, 2, 3])
  })
})

describe('.elder.json', () => {
  test('all of it', () => {
    expect(parseElderJson(build({ image: 'node:24', command: ['npm', 'test'], prepare: 'npm ci', outputs: ['dist/**'], needs: { platform: 'linux/amd64', memory: '2g', cpus: 1.5 } }))).toEqual({
      image: 'node:24', command: ['npm', 'test'], prepare: 'npm ci', outputs: ['dist/**'], platform: 'linux/x64', memoryBytes: 2 ** 31, cpus: 1.5, warnings: [],
    })
  })

  test('a command for the shell, a size in bytes, nulls and nothing', () => {
    expect(parseElderJson(build({ command: 'make && make test', needs: { memory: 1000 } }))).toMatchObject({ command: ['/bin/sh', '-c', 'make && make test'], memoryBytes: 1000 })
    for (const text of ['{}', '{"build":null}', '{"build":{}}', '{"$schema":"x","build":{"needs":null,"image":null}}']) {
      expect(parseElderJson(bytes(text))).toEqual({ image: undefined, command: undefined, prepare: undefined, outputs: undefined, platform: undefined, memoryBytes: undefined, cpus: undefined, warnings: [] })
    }
  })

  test('keys that mean nothing are told with those that do', () => {
    const { warnings } = parseElderJson(bytes('{\n"biuld": {},\n"build": {\n"output": [],\n"needs": { "ram": 1 }\n}}'))
    expect(warnings).toEqual([
      '.elder.json, line 2: "biuld" means nothing here; known are build',
      '.elder.json, line 4: "build.output" means nothing here; known are image, command, prepare, outputs, needs',
      '.elder.json, line 5: "build.needs.ram" means nothing here; known are platform, memory, cpus',
    ])
  })

  test.each<[string, string, RegExp]>([
    ['no JSON', '{\n"build": {\n}', /line 3: expected ",", found the end/],
    ['no object', '[]', /line 1: the file is an object, not \[\]/],
    ['build is a text', '{"build":\n"npm test"}', /line 2: build is an object, not "npm test"/],
    ['an image that is an option', '{"build":{\n"image":"-v /:/host"}}', /line 2: build\.image is the name of an image.*not "-v/],
    ['an empty command', '{"build":{"command":[]}}', /line 1: build\.command is a list of texts/],
    ['a command of numbers', '{"build":{\n\n"command":["a",1]}}', /line 3: build\.command .* not \["a",1\]/],
    ['an empty text', '{"build":{"command":" "}}', /build\.command/],
    ['prepare as a list', '{"build":{"prepare":["npm ci"]}}', /build\.prepare is a text for the shell/],
    ['outputs as a text', '{"build":{"outputs":"dist/**"}}', /build\.outputs is a list of globs/],
    ['a size of no kind', '{"build":{"needs":{\n"memory":"lots"}}}', /line 2: build\.needs\.memory is a size.*not "lots"/],
    ['no memory', '{"build":{"needs":{"memory":0}}}', /build\.needs\.memory/],
    ['no cores', '{"build":{"needs":{"cpus":"2"}}}', /build\.needs\.cpus is a number of cores/],
    ['a platform without a system', '{"build":{"needs":{"platform":"arm64"}}}', /build\.needs\.platform is a system and an architecture/],
    ['a comment', '{ // hello\n}', /line 1: expected a name/],
    ['too much of it', ' '.repeat(70_000), /it has 70000 bytes/],
  ])('%s', (_what, text, message) => {
    const failing = (): unknown => parseElderJson(bytes(text))
    expect(failing).toThrow(message)
    expect(failing).toThrow(expect.objectContaining({ code: 'RECIPE_INVALID', fix: expect.stringContaining('"command":["npm","test"]') as string }) as Error)
  })

  test('bytes that are no text', () => { expect(() => parseElderJson(Uint8Array.of(0xff, 0xfe))).toThrow(/not UTF-8/) })
})

describe('who says what is built', () => {
  const options = { signal: new AbortController().signal }
  const recipe = async (texts: Record<string, string>, request: BuildRequest = {}): ReturnType<typeof readRecipe> => {
    const reader = new MemorySource(() => new Map(Object.entries(texts)))
    return await readRecipe(reader, await reader.snapshot('/', options), request, options)
  }
  const ELDER = { '.elder.json': '{"build":{"image":"a:1","command":["a"],"prepare":"p","outputs":["o"],"needs":{"memory":"1g","cpus":1}}}' }
  const DEV = { '.devcontainer/devcontainer.json': '{ "image": "b:1", }', '.devcontainer.json': '{"image":"c:1"}' }

  test('flags, then .elder.json, then the devcontainer, then nobody', async () => {
    expect(await recipe(ELDER, { image: 'f:1', command: ['f'], prepare: 'q', outputs: [], memoryBytes: 5, cpus: 2 })).toMatchObject({ image: 'f:1', imageFrom: '--image', command: ['f'], prepare: 'q', outputs: [], memoryBytes: 5, cpus: 2 })
    expect(await recipe({ ...ELDER, ...DEV })).toMatchObject({ image: 'a:1', imageFrom: '.elder.json', command: ['a'], prepare: 'p', outputs: ['o'], memoryBytes: 2 ** 30, cpus: 1 })
    const first = await recipe(DEV)
    expect(first).toMatchObject({ image: 'b:1', imageFrom: '.devcontainer/devcontainer.json', command: null })
    const second = await recipe({ '.devcontainer.json': '{"image":"c:1"}' })
    expect(second).toMatchObject({ image: 'c:1', imageFrom: '.devcontainer.json' })
    const none = await recipe({})
    expect(none).toMatchObject({ image: null, imageFrom: null, command: null, outputs: [], platform: null })
    expect([first, second, none, await recipe(ELDER)].map(isWish)).toEqual([true, true, false, false])
  })

  test('a devcontainer that builds its image, or that we cannot read, says nothing', () => {
    for (const text of ['{"build":{"dockerfile":"Dockerfile"}}', '{"image":"${localEnv:IMAGE}"}', '{"image":["a"]}', '"image"', 'null', '{', `{"image":"a"}${' '.repeat(70_000)}`]) expect(devcontainerImage(bytes(text))).toBeUndefined()
  })
})

describe('what a build is told besides its exit code', () => {
  const around: Surroundings = { builder: 'mini', engine: 'docker', network: 'full', sealed: false, image: null, imageFrom: null }
  const result = { exitCode: 0, unmatched: [], leftOut: [] }

  test('a missing tool: what this build sees, and where that is set', () => {
    const [own] = adviceFor({ ...result, exitCode: 127 }, around)
    expect(own).toMatch(/not found \(exit 127\): this build sees the tools of the default image of mini\..*--image <ref>.*\.elder\.json.*devcontainer\.json.*--prepare/)
    expect(adviceFor({ ...result, exitCode: 127 }, { ...around, image: 'node:24', imageFrom: '.elder.json' })[0]).toMatch(/the image node:24 \(from \.elder\.json\)/)
    expect(adviceFor({ ...result, exitCode: 127 }, { ...around, engine: 'process' })[0]).toMatch(/installed on mini \(engine process, no image\)/)
    expect(adviceFor({ ...result, exitCode: 1 }, around)).toEqual([])
  })

  test('globs without a match, and what was left out', () => {
    expect(adviceFor({ ...result, unmatched: ['dist/**'], leftOut: ['the symlink x is left out'] }, around)).toEqual(['no output matches dist/**', 'the symlink x is left out'])
    expect(adviceFor({ ...result, exitCode: 1, unmatched: ['dist/**'] }, around)).toEqual([])
  })

  test('the network, and whose word it is', () => {
    expect(aboutNetwork(around)).toBe('network: full, as the owner of mini allows')
    expect(aboutNetwork({ ...around, network: 'none' })).toBe('network: none, as the owner of mini wants')
    expect(aboutNetwork({ ...around, sealed: true })).toBe('network: none, sealed')
  })
})
