import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Desk, type Ran } from '../support/cli.ts'
import { renderStatus } from '../../src/gateway/render/status.ts'
import { MINI, SELF } from '../support/fake-node.ts'

let desk: Desk
beforeAll(async () => { desk = await Desk.open() })
afterAll(async () => { await desk[Symbol.asyncDispose]() })

describe('status', () => {
  test('JSON has the shape of the contract and nothing else is on stdout', async () => {
    const { code, stderr, json } = await desk.run(['status', '--json'])
    const [status, ...more] = json()
    expect({ code, stderr, more: more.length }).toEqual({ code: 0, stderr: '', more: 0 })
    expect(status).toMatchObject({ schema: 'elder/status.v1', mesh: { name: 'bramble' }, self: SELF, problems: [] })
    expect(Object.keys((status?.devices as object[] | undefined)?.[1] ?? {})).toEqual(['id', 'name', 'role', 'online', 'rttMs', 'path', 'cpu', 'memory', 'disk', 'slots', 'engine', 'platform', 'version', 'lastSeen'])
  })

  test('people read one screen of at most 80 columns, problems and their fix last', async () => {
    desk.node.problems = [{ code: 'LOW_DISK', message: 'disk 91 % \u001b[31mfull', fix: 'free some space' }]
    const { stdout, code } = await desk.run(['status'])
    const lines = stdout.trimEnd().split('\n')
    expect(code).toBe(0)
    expect(lines.every((line) => line.length <= 80)).toBe(true)
    expect(lines[0]).toContain('mesh bramble   2 of 3 devices online   here: laptop')
    expect(lines.find((line) => line.startsWith('mini'))).toMatch(/0\.62ms\s+direct\s+25%\s+50%\s+20%\s+1\/2\s+1 for others/)
    expect(lines.find((line) => line.startsWith('cabin'))).toContain('down')
    expect(lines.at(-1)).toBe('! disk 91 % ·[31mfull   fix: free some space')
    expect(stdout).not.toContain('\u001b')
  })

  test('--check answers 5 when something is wrong, 0 when not', async () => {
    desk.node.problems = [{ code: 'X', message: 'x', fix: '' }]
    expect((await desk.run(['status', '--check'])).code).toBe(5)
    desk.node.problems = []
    expect((await desk.run(['status', '--check'])).code).toBe(0)
  })
})

describe('invite, devices, evict', () => {
  test('invite prints only the ticket on stdout, the command to paste on stderr', async () => {
    const { stdout, stderr } = await desk.run(['invite'])
    expect(stdout).toBe('elder1ticket\n')
    expect(stderr).toContain('elder-node join --ticket-file -')
  })

  test('invite --json takes role and expiry', async () => {
    const { json } = await desk.run(['invite', '--role', 'member', '--expires', '1h', '--json'])
    expect(json()[0]).toMatchObject({ schema: 'elder/invite.v1', ticket: 'elder1ticket', role: 'member', expires: '2026-11-21T11:00:00.000Z' })
  })

  test.each([[['invite', '--role', 'king'], 'role'], [['invite', '--expires', 'soon'], 'duration']])('%j is a usage error', async (argv, word) => {
    const { code, stdout, stderr } = await desk.run(argv)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^error: .*${word}.*\\nfix: .+`))
  })

  test('devices and evict', async () => {
    expect((await desk.run(['devices', '--json'])).json()[0]).toMatchObject({ schema: 'elder/devices.v1', devices: [{ name: 'laptop' }, { name: 'mini' }] })
    expect((await desk.run(['evict', 'mini', '--yes', '--json'])).json()[0]).toEqual({ schema: 'elder/evict.v1', device: MINI, remotes: [] })
    const unknown = await desk.run(['evict', 'nobody', '--json'])
    expect(unknown.code).toBe(1)
    expect(unknown.json()[0]).toEqual({ schema: 'elder/error.v1', error: { code: 'NO_SUCH_DEVICE', message: 'no device "nobody"', fix: 'elder-node devices' } })
  })
})

describe('stack', () => {
  test('add, show, edit, digest, list', async () => {
    const added = (await desk.run(['stack', 'add', 'my-repo', '--kind', 'note', '--title', '-q is a title', '--body', '-', '--tag', 'a', '--tag', 'b', '--as', 'juno', '--json'], { stdin: 'line\n' })).json()[0]
    expect(added).toMatchObject({ schema: 'elder/stack-add.v1', stack: 'my-repo', entry: { kind: 'note', title: '-q is a title', body: 'line\n', tags: ['a', 'b'], author: { device: SELF, agent: 'juno' } } })
    const id = String(added?.id)
    const shown = (await desk.run(['--json', 'stack', 'show', 'my-repo'])).json()[0]
    expect(shown).toMatchObject({ schema: 'elder/stack-show.v1', stack: 'my-repo' })
    expect(Object.keys((shown?.entries as object[] | undefined)?.[0] ?? {})).toEqual(['id', 'kind', 'title', 'body', 'tags', 'author', 'createdAt', 'updatedAt', 'revision', 'supersedes', 'supersededBy'])
    expect((await desk.run(['stack', 'edit', 'my-repo', id, '--title', 'new', '--json'])).json()[0]).toMatchObject({ id, entry: { title: 'new' } })
    expect((await desk.run(['stack', 'digest', 'my-repo', '--json'])).json()[0]).toMatchObject({ schema: 'elder/stack-digest.v1', stack: 'my-repo', digest: expect.stringMatching(/^[0-9a-f]{64}$/), feeds: 'feeds' })
    expect((await desk.run(['stack', 'list', '--json'])).json()[0]).toMatchObject({ stacks: [{ name: 'my-repo', entries: 1 }] })
    expect((await desk.run(['stack', 'show', 'my-repo', id])).stdout).toContain('line')
    expect((await desk.run(['stack', 'rm', 'my-repo', id, '--json'])).json()[0]).toEqual({ schema: 'elder/stack-rm.v1', stack: 'my-repo', id, removed: true })
    expect((await desk.run(['stack', 'rm', 'my-repo', '01K9ZZZZ'])).code).toBe(1)
  })

  test('reading a stack that is not there never makes one', async () => {
    const { code, json } = await desk.run(['stack', 'show', 'typo', '--json'])
    expect(code).toBe(1)
    expect(json()[0]).toMatchObject({ error: { code: 'NO_SUCH_STACK', fix: expect.stringContaining('stack add typo') } })
  })

  test('the name comes from origin and is kept in .stack/stack.json by the first write', async () => {
    const work = join(desk.dir, 'work')
    mkdirSync(join(work, 'deep'), { recursive: true })
    execFileSync('git', ['init', '-q', work])
    const nameless = await desk.run(['stack', 'add', '--kind', 'note', '--title', 't', '--json'], { cwd: work })
    expect(nameless.json()[0]).toMatchObject({ error: { code: 'STACK_UNKNOWN' } })
    execFileSync('git', ['-C', work, 'remote', 'add', 'origin', 'git@example.org:me/My Repo.git'])
    expect((await desk.run(['stack', 'add', '--kind', 'note', '--title', 't', '--json'], { cwd: join(work, 'deep') })).json()[0]).toMatchObject({ stack: 'my-repo' })
    expect(JSON.parse(readFileSync(join(work, '.stack/stack.json'), 'utf8'))).toMatchObject({ stack: 'my-repo' })
    writeFileSync(join(work, '.stack/stack.json'), '{"stack":"other"}')
    expect((await desk.run(['stack', 'add', '--kind', 'note', '--title', 't', '--json'], { cwd: work })).json()[0]).toMatchObject({ stack: 'other' })
  })

  test('a restore that is not whole says what waits', async () => {
    const { restored } = desk.node
    const problem = { code: 'RECORDS_WAIT', message: '9 records of mini (9) wait.', fix: 'Start mini.' }
    desk.node.restored = { ...restored, entries: 0, problems: [problem] }
    const argv = ['stack', 'restore', 'http://127.0.0.1/a.git']
    const [text, json] = [await desk.run(argv), await desk.run([...argv, '--json'])]
    desk.node.restored = restored
    expect(text.stdout).toContain('my-repo: 0 entries, archived\n')
    expect(text.stdout).toContain('! 9 records of mini (9) wait.   fix: Start mini.\n')
    expect(json.json()[0]).toMatchObject({ stacks: [{ problems: [problem] }] })
  })

  test('a text on standard input that is not UTF-8 is refused; a mark of the byte order is no part of it', async () => {
    const argv = ['stack', 'add', 'bytes', '--kind', 'note', '--title', 'x', '--body', '-', '--json']
    const add = async (stdin: Buffer): Promise<Ran> => await desk.run(argv, { stdin })
    const refused = await add(Buffer.from([0x63, 0x61, 0x66, 0xe9]))
    expect(refused.code).toBe(2)
    expect(refused.json()[0]).toMatchObject({ error: { code: 'USAGE', message: 'standard input is not UTF-8 text' } })
    expect((await add(Buffer.from('\uFEFFcafé'))).json()[0]).toMatchObject({ entry: { body: 'café' } })
  })

  test('remotes, sync, restore', async () => {
    expect((await desk.run(['stack', 'remote', 'add', 'my-repo', 'http://127.0.0.1/a.git', '--json'])).json()[0]).toMatchObject({ remote: { stack: 'my-repo', url: 'http://127.0.0.1/a.git' } })
    expect((await desk.run(['stack', 'sync', 'my-repo', '--json'])).code).toBe(0)
    expect((await desk.run(['stack', 'remote', 'add', '--all', 'http://127.0.0.1/broken.git', '--json'])).json()[0]).toMatchObject({ remote: { stack: '--all' } })
    const failed = await desk.run(['stack', 'sync', '--json'])
    expect(failed.code).toBe(1)
    expect(failed.json()[0]).toMatchObject({ schema: 'elder/stack-sync.v1', results: [{ ok: true }, { ok: false, message: 'no route' }] })
    expect((await desk.run(['stack', 'remote', 'list'])).stdout).toContain('http://127.0.0.1/a.git')
    expect((await desk.run(['stack', 'restore', 'http://127.0.0.1/a.git', '--json'])).json()[0]).toMatchObject({ schema: 'elder/stack-restore.v1', stacks: [{ name: 'my-repo', digest: 'dig', archived: true }] })
  })
})

test('global flags stand before or after the command', async () => {
  const before = await desk.run(['--json', '--dir', desk.dir, 'devices'], { env: { ELDER_NODE_DIR: '/nowhere' } })
  const after = await desk.run(['devices', '--dir', desk.dir, '--json'], { env: { ELDER_NODE_DIR: '/nowhere' } })
  expect([before.code, after.code]).toEqual([0, 0])
  expect(before.stdout).toBe(after.stdout)
})

test.each([
  ['a kind that is none', ['stack', 'add', 'my-repo', '--kind', 'wish', '--title', 'x'], 'note, decision, task, skill'],
  ['an empty title', ['stack', 'add', 'my-repo', '--kind', 'note', '--title', ' '], '--title'],
  ['a name in capitals', ['stack', 'show', 'My Repo'], 'Call it my-repo.'],
  ['a remote without its URL', ['stack', 'remote', 'add', 'my-repo'], 'elder-node stack remote add'],
  ['a stack without an entry', ['stack', 'rm', 'my-repo'], 'elder-node stack show my-repo lists the ids'],
  ['an option of a subcommand', ['stack', 'add', '--knd', 'note'], 'elder-node stack add --help'],
])('%s is a usage error that says what to write', async (_what, argv, fix) => {
  const { code, stdout, stderr } = await desk.run(argv)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(/^error: .+\nfix: .+\n$/)
  expect(stderr).toContain(fix)
})

test('a remote of a stack that is not there is said; a sync of nothing is an error', async () => {
  expect((await desk.run(['stack', 'remote', 'add', 'typo', 'http://127.0.0.1/t.git'])).stderr).toContain('there is no stack "typo" yet')
  expect((await desk.run(['stack', 'remote', 'add', 'my-repo', 'http://127.0.0.1/t.git'])).stderr).toBe('')
})

test('status says so when no device takes builds', async () => {
  const idle = await desk.node.status()
  const none = { ...idle, devices: idle.devices.map((device) => ({ ...device, slots: { total: 0, free: 0 } })) }
  const plainly = (_format: string, text: string): string => text
  expect(renderStatus(none, plainly, 0)).toContain('no device here takes builds: elder-node doctor')
  expect(renderStatus(idle, plainly, 0)).not.toContain('no device here takes builds')
})
