/** The catalogue of codes is held to the sources, to the tests, and to the commands that its fixes name. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { REFUSAL_CODES } from '@elder-node/protocol'
import { expect, test } from 'vitest'
import { ERROR_GROUPS, ERRORS } from '../packages/node/src/errors/catalogue.ts'
import { DOOR } from '../packages/node/src/errors/network.ts'
import { ALERT_CODES } from '../packages/node/src/services/alerts/catalogue.ts'
import { allCommands } from '../tools/reference/cli.ts'
import { commandsIn, readSource, readSources } from '../tools/reference/source-codes.ts'

const ROOT = join(import.meta.dirname, '..')
const { codes: given, commands: typed } = readSources(ROOT)
const ofDoor = new Set(Object.keys(DOOR))

test('the codes of the sources and of the catalogue are the same', () => {
  expect([...given].filter(([code]) => ERRORS[code] === undefined), 'codes without a line in packages/node/src/errors').toEqual([])
  expect(Object.keys(ERRORS).filter(code => !ofDoor.has(code) && !given.has(code)), 'lines that no source gives any more').toEqual([])
  expect([...ofDoor].sort()).toEqual([...REFUSAL_CODES].sort())
  const all = ERROR_GROUPS.flatMap(([, codes]) => Object.keys(codes))
  expect(all.filter((code, at) => all.indexOf(code) !== at), 'codes in two groups').toEqual([])
  expect(ALERT_CODES.filter(code => ERRORS[code]?.kinds.includes('problem') !== true)).toEqual([])
})

test('codes are found however they are written', () => {
  const text = `new ElderError(x ? 'ONE' : 'TWO', ''); fail('THREE', ''); const a = { code: b ?? 'FOUR' }; const table = ['FIVE', 'what happened', AGAIN]; class E extends ElderError { constructor () { super('SIX') } }
    const other = ['NOT', 'ONE', 'OF']; const env = 'ELDER_NODE_DIR'; (late ? fail : warn)('SEVEN', ''); this.#move(current, 'EIGHT', '')`
  expect([...readSource(text).codes].sort()).toEqual(['EIGHT', 'FIVE', 'FOUR', 'ONE', 'SEVEN', 'SIX', 'THREE', 'TWO'])
})

test('every code is asserted by a test', () => {
  const folders = ['packages/protocol/test', 'packages/crdt-stack/test', 'packages/node/test', 'test']
  const tests = folders.flatMap(folder => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).map(name => join(folder, name)))
    .filter(file => file !== 'test/error-catalogue.test.ts').map(file => readFileSync(join(ROOT, file), 'utf8'))
  // In quotes, or in a pattern: 'CODE', 'refused:code', /^CODE: /, /ONE|TWO/.
  const named = new Set(tests.flatMap(text => [...text.matchAll(/(?<=['"`^|:])[A-Za-z][\w-]*(?=['"`:|/])/g)].map(([word]) => word)))
  expect(Object.keys(ERRORS).filter(code => !named.has(code))).toEqual([])
})

test('every command that a fix names is there, with its flags', async () => {
  const { program, commands } = await allCommands()
  const known = new Map(commands.map(({ path, command }) => [path, command]))
  const globals = program.options.flatMap(({ short, long }) => [short, long])
  const wrong = (text: string): string | undefined => {
    const words = text.split(' ')
    if (words[0] === 'help') return undefined
    const path = [3, 2, 1].map(length => words.slice(0, length).join(' ')).find(path => known.has(path))
    if (path === undefined) return 'no such command'
    const command = known.get(path)
    const next = words[path.split(' ').length] ?? ''
    const below = command?.commands.map(child => child.name()) ?? []
    if (below.length > 0 && /^[a-z]+$/.test(next) && !below.includes(next) && command?.registeredArguments.length === 0) return `no such command below ${path}`
    const flags = [...globals, '--help', ...command?.options.flatMap(({ short, long }) => [short, long]) ?? []]
    return words.find(word => /^--?[a-z]/.test(word) && !flags.includes(word.split('=')[0] ?? ''))
  }
  const named = [...typed, ...Object.entries(ERRORS).flatMap(([code, { fix }]) => commandsIn(fix).map(text => ({ text, file: code })))]
  expect(named.length).toBeGreaterThan(200)
  expect(named.flatMap(({ text, file }) => { const why = wrong(text); return why === undefined ? [] : [`${file}: elder-node ${text}: ${why}`] })).toEqual([])
})
