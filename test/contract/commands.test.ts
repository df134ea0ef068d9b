/**
 * The command line that the product promises, asked from outside: every command and flag is there, explains itself with examples,
 * and refuses what it does not take with the exit code and the form of the contract.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { Lab } from '../scenarios/support.ts'
import type { Command } from '../scenarios/support.ts'

const lab = new Lab()
afterAll(() => lab[Symbol.asyncDispose]())

const GLOBAL = ['--dir', '--json', '--as', '--no-color', '--no-input', '--timeout', '-q', '-v']
/** Every command of this version, with the flags that stay stable. */
const CONTRACT: Record<string, string[]> = {
  'join': ['--ticket-file', '--save-recovery', '--name', '--listen', '--announce', '--slots', '--engine', '--no-mdns', '--detach'],
  'invite': ['--role', '--expires'],
  'status': ['--watch', '--check'],
  'build': ['--image', '--prepare', '--sealed', '--cpus', '--memory', '--deadline', '--env', '--out', '--to', '--on', '--wait', '--local', '--exclusive', '--detach', '--explain', '--dry-run', '--strict-outputs'],
  'builds': [],
  'builds list': [],
  'builds logs': [],
  'builds attach': [],
  'builds cancel': [],
  'builds why': [],
  'stack list': ['--all'],
  'stack archive': ['--undo'],
  'stack add': ['--kind', '--title', '--body', '--tag', '--supersedes'],
  'stack show': ['--at'],
  'stack edit': ['--title', '--body', '--base', '--overwrite'],
  'stack rm': ['--all-of', '--undo', '--yes'],
  'stack search': [],
  'stack log': ['--entry'],
  'stack digest': [],
  'stack verify': [],
  'stack sync': [],
  'stack restore': [],
  'stack remote add': [],
  'stack remote list': [],
  'stack remote rm': [],
  'devices': [],
  'evict': ['--undo', '--keep', '--yes'],
  'leave': ['--yes'],
  'ping': [],
  'doctor': ['--fix'],
  'demo': ['--exit'],
  'config get': [],
  'config set': [],
  'config list': ['--sources'],
  'service install': [],
  'service remove': [],
  'completion': [],
  'image build': [],
}
/** Of the contract, and of a later version. */
const LATER = ['mcp', 'task', 'lock', 'msg', 'artifact', 'agent', 'pause', 'stop', 'dashboard', 'top', 'stack recall', 'stack render', 'stack watch', 'stack import', 'stack export']

async function ended (command: Command): Promise<{ code: number | string, stdout: string, stderr: string }> {
  const code = await command.exited
  return { code, stdout: command.stdout, stderr: command.stderr }
}
const run = (words: string[], env: NodeJS.ProcessEnv = {}): ReturnType<typeof ended> => ended(lab.spawn(words, { env: { COLUMNS: '80', ...env } }))
const nowhere = lab.folder('nowhere')

describe.concurrent.each(Object.entries(CONTRACT))('%s', (name, flags) => {
  const words = name.split(' ')

  test('--help says what it takes, with examples, in 80 columns', async () => {
    const { code, stdout, stderr } = await run([...words, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const flag of flags) expect(stdout).toMatch(new RegExp(`(^|[\\s,])${flag}([\\s,=<[]|$)`, 'm'))
    expect(stdout).toContain('elder-node ' + name)
    expect(stdout).toMatch(/Examples?:/)
    expect(stdout.split('\n').filter(line => line.length > 80), 'lines wider than 80 columns').toEqual([])
  })

  test('a flag that does not exist is a usage error: 2, on stderr; with --json one document on stdout', async () => {
    // What is required is given, or its absence would be the first error.
    const given = name === 'stack add' ? ['--kind', 'note', '--title', 't'] : []
    const plain = await run([...words, ...given, '--no-such-flag'])
    expect(plain).toMatchObject({ code: 2, stdout: '' })
    expect(plain.stderr).toContain('--no-such-flag')
    const json = await run([...words, ...given, '--no-such-flag', '--json'])
    expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 2, stderr: '' })
    const document = JSON.parse(json.stdout) as { schema: string, error: Record<string, string> }
    expect(document.schema).toMatch(/^elder\/[a-z-]+\.v1$/)
    expect(document.error).toEqual({ code: 'USAGE', message: expect.stringContaining('--no-such-flag') as string, fix: expect.stringContaining('--help') as string })
  })
})

test('the help of the program names every command, every exit code and every global flag', async () => {
  const { code, stdout } = await run(['--help'])
  expect(code).toBe(0)
  for (const name of new Set(Object.keys(CONTRACT).map(name => name.split(' ')[0] as string))) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'))
  for (const flag of GLOBAL) expect(stdout).toContain(flag)
  for (const exit of ['0 ok', '1 error', '2 usage', '3 no mesh', '4 node not running', '5 degraded', '6 timeout', '124', '125', '130']) expect(stdout).toContain(exit)
  expect(stdout.split('\n').filter(line => line.length > 80)).toEqual([])
})

test.concurrent.each(LATER)('%s is refused by name, not as unknown', async name => {
  const { code, stdout } = await run([...name.split(' '), '--json'])
  expect(code).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NOT_IN_THIS_VERSION', message: expect.stringContaining(name) as string } })
})

test.concurrent.each([['join', '--from', 'url'], ['join', '--recovery-file', 'path'], ['stack', 'restore', 'url', '--adopt']])('%s %s %s: a flag of a later version is refused by name', async (...words) => {
  const { code, stdout } = await run([...words, '--json', '--dir', nowhere])
  expect(code).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NOT_IN_THIS_VERSION', message: expect.stringContaining(words.find(word => word.startsWith('--')) as string) as string } })
})

test('an unknown command is a usage error that names the nearest', async () => {
  const { code, stderr } = await run(['stauts'])
  expect(code).toBe(2)
  expect(stderr).toContain('status')
})

test('global flags stand before or after the command', async () => {
  const [before, after] = await Promise.all([run(['--json', '--dir', nowhere, 'status']), run(['status', '--json', '--dir', nowhere])])
  expect(before).toEqual(after)
  expect(before.code).toBe(3)
})

test('--version prints the version and nothing else', async () => {
  expect(await run(['--version'])).toEqual({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string, stderr: '' })
})
