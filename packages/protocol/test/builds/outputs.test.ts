import { array, assert, boolean, constantFrom, nat, oneof, property, record, string, uint8Array, type Arbitrary } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode, encodeOutputPart, isOutputPath, LIMITS, OutputDecoder, toHex, type OutputFile, type OutputMode, type OutputPart } from '../../src/index.ts'

const name = string({ minLength: 1, maxLength: 12, unit: 'grapheme' }).filter(isOutputPath)
const path = array(name, { minLength: 1, maxLength: 4 }).map(names => names.join('/')).filter(isOutputPath)
const mode = boolean().map((yes): OutputMode => yes ? 0o755 : 0o644)
const hash = uint8Array({ minLength: 32, maxLength: 32 }).map(toHex)
const file: Arbitrary<OutputFile> = record({ path, mode, bytes: nat(1000), sha256: hash })
const decodeAll = (frames: Uint8Array[]): OutputPart[] => {
  const decoder = new OutputDecoder()
  return frames.flatMap(frame => decoder.push(frame) ?? [])
}

/** Names that are something else on some system, and names that only look like it. */
const ODD = ['.git.', '.git ', '.git . ', '.GiT', '.git::$INDEX_ALLOCATION', '.git:x', 'git~1', 'GIT~12', '.g\u200cit', 'C:x', 'c:', 'a:b', 'con', 'NUL.txt', 'nul .txt', 'aux.', 'Com1.log', 'lpt\u00b9', 'conout$', 'a.', 'a ', '...', ' ']
const PLAIN = ['.gitignore', '.github', 'git', 'a.git', '.gita', 'console', 'nul-x', 'com', 'com10', 'auxiliary.c', ' a', 'a b', '.a.b', 'x~1']

describe('outputs on the wire', () => {
  test('property: every stream decodes to itself', () => {
    assert(property(array(file, { maxLength: 20 }), uint8Array({ minLength: 1, maxLength: 50 }), (files, data) => {
      const parts: OutputPart[] = [
        ...files.flatMap(({ path, mode, bytes }): OutputPart[] => [{ type: 'file', file: { path, mode, bytes } }, { type: 'chunk', data }]),
        { type: 'end', manifest: files },
      ]
      expect(decodeAll(parts.flatMap(encodeOutputPart))).toEqual(parts)
    }))
  })

  test('a manifest of 20,000 long paths travels in frames within the bound', () => {
    const manifest = Array.from({ length: 20_000 }, (_, i): OutputFile => ({ path: `${'ü'.repeat(100)}/${i}`, bytes: i, mode: 0o644, sha256: 'ab'.repeat(32) }))
    const frames = [...manifest.flatMap(({ path, mode, bytes }) => encodeOutputPart({ type: 'file', file: { path, mode, bytes } })), ...encodeOutputPart({ type: 'end', manifest })]
    expect(frames.length).toBeGreaterThan(20_010)
    expect(Math.max(...frames.map(frame => frame.length))).toBeLessThanOrEqual(LIMITS.frameBytesMax)
    expect(decodeAll(frames).at(-1)).toEqual({ type: 'end', manifest })
  })

  test('the largest chunk fits a frame, a larger one is refused on both sides', () => {
    const [frame] = encodeOutputPart({ type: 'chunk', data: new Uint8Array(LIMITS.chunkBytesMax) })
    expect(frame?.length).toBeLessThanOrEqual(LIMITS.frameBytesMax)
    expect(() => encodeOutputPart({ type: 'chunk', data: new Uint8Array(LIMITS.chunkBytesMax + 1) })).toThrow(/chunk/)
    expect(() => decodeAll([encode(['chunk', new Uint8Array(LIMITS.chunkBytesMax + 1)])])).toThrow(/chunk/)
  })

  test('property: no hostile path passes', () => {
    const bad = constantFrom('..', '.', '', '.git', '.GIT', 'git~1', 'a\0', 'a\\b')
    assert(property(array(oneof(name, bad), { minLength: 1, maxLength: 4 }), names => {
      const hostile = names.some(one => !isOutputPath(one))
      expect(isOutputPath(names.join('/'))).toBe(!hostile)
      if (hostile) expect(() => decodeAll([encode(['file', names.join('/'), false, 1])])).toThrow(/path/)
    }))
    for (const one of [...PLAIN, ...ODD]) expect(isOutputPath(`a/${one}/b`), one).toBe(PLAIN.includes(one))
    expect(['/etc/passwd', 'a/', 'x'.repeat(LIMITS.pathCharsMax + 1)].some(isOutputPath)).toBe(false)
  })

  test('property: mutated frames decode or throw MalformedError, never anything else', () => {
    const good = [{ type: 'file', file: { path: 'a/b', mode: 0o644, bytes: 3 } }, { type: 'chunk', data: Uint8Array.of(1, 2, 3) },
      { type: 'end', manifest: [{ path: 'a/b', mode: 0o644, bytes: 3, sha256: '00'.repeat(32) }] }] satisfies OutputPart[]
    const frames = good.flatMap(part => encodeOutputPart(part))
    assert(property(nat(2), nat(200), nat(255), (which, at, byte) => {
      const mutant = Uint8Array.from(frames[which] as Uint8Array)
      mutant[at % mutant.length] = byte
      try {
        decodeAll([mutant])
      } catch (error) {
        expect((error as { code: string }).code).toBe('MALFORMED')
      }
    }), { numRuns: 2000 })
  })

  test('a manifest that lists more than was sent, a frame after the end, and foreign shapes are refused', () => {
    const [end] = encodeOutputPart({ type: 'end', manifest: [] })
    expect(() => decodeAll([end as Uint8Array, end as Uint8Array])).toThrow()
    for (const value of [['end', [['a', false, 1, new Uint8Array(32)]]], ['more', []], ['file', 'a', 1, 1], ['file', 'a', true, -1], ['file', 'a', true, LIMITS.outputBytesMax + 1], ['chunk', 'text'], ['end'], 'end', { type: 'end' }]) {
      expect(() => decodeAll([encode(value)])).toThrow()
    }
  })
})
