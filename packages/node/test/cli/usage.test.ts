import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'

let desk: Desk
beforeAll(async () => { desk = await Desk.open(); writeFileSync(join(desk.dir, 'ticket.txt'), 'elder1abc\n') })
afterAll(async () => { await desk[Symbol.asyncDispose]() })

test.each([
  [['builds', 'log', 'x'], /Did you mean logs/, 'elder-node builds logs x'],
  [['builds', '7f3c2a99'], /unknown command '7f3c2a99'/, 'elder-node builds logs 7f3c2a99'],
  [['devices', 'promot', 'pi'], /Did you mean promote/, 'elder-node devices promote pi'],
  [['doctor', 'fix'], /Did you mean --fix/, 'elder-node doctor --help'],
  [['build', 'npm', 'test'], /too many arguments/, 'elder-node build . -- npm test'],
  [['build', '--on', 'mini', '.', 'echo', 'a b'], /too many arguments/, "elder-node build --on mini . -- echo 'a b'"],
  [['build', 'npm', '--workspace', 'x'], /unknown option/, 'behind --: elder-node build . -- npm test'],
  [['help', 'biuld'], /unknown command 'biuld'/, 'elder-node help'],
  [['version'], /unknown command 'version'/, 'elder-node --version'],
  [['-v'], /a command is needed/, '--version shows the version'],
  [['stack', 'remote'], /needs one of: add, list, rm/, 'elder-node stack remote --help'],
  [['config', 'set', 'slots=2'], /two words/, 'elder-node config set slots 2'],
  [['join', '--listen', '0.0.0.0:4410'], /is not an address/, '/ip4/0.0.0.0/tcp/4410'],
  [['join', '--listen', '/ip4/999.1.1.1/tcp/1'], /is not an address/, '/ip4/0.0.0.0/tcp'],
  [['join', '--listen', '/ip4/0.0.0.0/tcp/99999'], /is not an address/, '/ip4/0.0.0.0/tcp'],
  [['join', '--name', '  '], /leaves nothing of a name/, '--name'],
  [['join', 'ticket.txt'], /is a file, not a ticket/, 'elder-node join --ticket-file ticket.txt'],
])('%j says what was meant', async (argv, message, fix) => {
  const { code, stdout, stderr } = await desk.run(argv)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(message)
  expect(stderr.split('\nfix: ')[1]).toContain(fix)
  expect(stderr).toMatch(/^error: .+\nfix: .+\n/)
})

describe('words in the wrong order', () => {
  test.each([
    [['stack', 'edit', '01K9ABCDEF', 'my-repo', '--title', 'y'], 'elder-node stack edit my-repo 01K9ABCDEF'],
    [['stack', 'rm', '01K9ABCDEF', 'my-repo'], 'elder-node stack rm my-repo 01K9ABCDEF'],
    [['stack', 'remote', 'add', 'https://git.example.org/me/m.git', 'my-repo'], 'elder-node stack remote add my-repo https://git.example.org/me/m.git'],
    [['stack', 'remote', 'rm', 'git@git.example.org:m.git', 'my-repo'], 'elder-node stack remote rm my-repo git@git.example.org:m.git'],
  ])('%j is given back in the right one', async (argv, fix) => {
    const { code, stderr } = await desk.run(argv)
    expect(code).toBe(2)
    expect(stderr.trimEnd().split('\nfix: ')[1]).toBe(fix)
  })
})

test('an error is broken between words at a terminal, its command never; in a pipe it is one line', async () => {
  const argv = ['stack', 'add', 'My Repo', '--kind', 'note', '--title', 'x']
  const people = await desk.run(argv, { tty: { columns: 60, rows: 24 }, env: { NO_COLOR: '1' } })
  expect(people.stderr.split('\n').every(line => line.length <= 60)).toBe(true)
  expect(people.stderr).toMatch(/^error: .*\n {7}\S/)
  expect((await desk.run(argv)).stderr.trimEnd().split('\n')).toHaveLength(2)
  const command = await desk.run(['stack', 'remote', 'add', 'https://git.example.org/a/long/path/to/the/memory.git', 'my-repo'], { tty: { columns: 60, rows: 24 } })
  expect(command.stderr).toContain('elder-node stack remote add my-repo https://git.example.org/a/long/path/to/the/memory.git\n')
})
