import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
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
  expect(stderr.trimEnd().split('\n')).toHaveLength(2)
})
