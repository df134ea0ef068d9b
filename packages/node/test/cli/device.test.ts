/** ping, leave, evict and devices promote at the command line. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ElderError } from '@elder-node/protocol'
import { Desk, type RunOptions } from '../support/cli.ts'
import { MINI, SELF } from '../support/fake-node.ts'

let desk: Desk
beforeEach(async () => { desk = await Desk.open() })
afterEach(() => desk[Symbol.asyncDispose]())

describe('ping', () => {
  test('each line shows the round trip, the path and the address; then a summary', async () => {
    const { code, stdout } = await desk.run(['ping', 'mini', '--count', '3'])
    expect(code).toBe(0)
    expect(stdout.trimEnd().split('\n')).toEqual([
      'mini  1  0.50 ms  direct  /ip4/10.0.0.2/tcp/4707', 'mini  2  0.75 ms  direct  /ip4/10.0.0.2/tcp/4707', 'mini  3  0.50 ms  direct  /ip4/10.0.0.2/tcp/4707',
      '3 sent, 3 received (0 % lost), ms min 0.50 avg 0.58 max 0.75',
    ])
  })

  test('--json is one document per round trip, and a summary', async () => {
    desk.node.roundTrips = [0.5, null]
    const documents = (await desk.run(['ping', 'mini', '-c', '2', '-i', '10ms', '--json'])).json()
    expect(documents.map(({ schema, event }) => [schema, event])).toEqual([['elder/ping.v1', 'pong'], ['elder/ping.v1', 'lost'], ['elder/ping.v1', 'summary']])
    expect(documents[0]).toMatchObject({ device: MINI, seq: 1, rttMs: 0.5, path: 'direct', relay: null, address: '/ip4/10.0.0.2/tcp/4707/p2p/y' })
    expect(documents[2]).toMatchObject({ sent: 2, received: 1, minMs: 0.5, avgMs: 0.5, maxMs: 0.5, path: 'direct' })
  })

  test('names the relay; --until-direct ends at the first direct answer, and is 1 when there is none', async () => {
    const ended = await desk.run(['ping', 'mini', '--until-direct', '--json'])
    expect([ended.code, ended.json().map(({ event }) => event)]).toEqual([0, ['pong', 'summary']])
    desk.node.relayed = true
    expect((await desk.run(['ping', 'mini', '-c', '1'])).stdout).toContain(`relay via ${SELF.name}`)
    const relayed = await desk.run(['ping', 'mini', '--until-direct', '-c', '2', '--json'])
    expect(relayed.code).toBe(1)
    expect(relayed.json().at(-1)).toMatchObject({ error: { code: 'NOT_DIRECT', fix: expect.stringContaining('announce') as string } })
  })

  test('nothing received is 1; an unknown device and a wrong count are errors of their own', async () => {
    desk.node.roundTrips = [null]
    const lost = await desk.run(['ping', 'mini', '-c', '2'])
    expect(lost.code).toBe(1)
    expect(lost.stdout).toContain('2 sent, 0 received (100 % lost)\n')
    expect((await desk.run(['ping', 'nobody', '--json'])).json().at(-1)).toMatchObject({ error: { code: 'NO_SUCH_DEVICE' } })
    for (const words of [['ping', 'mini', '-c', '0'], ['ping', 'mini', '-i', 'often'], ['ping']]) expect((await desk.run(words)).code).toBe(2)
  })

  test('Ctrl-C prints the summary of what there was', async () => {
    desk.node.roundTrips = [0.5]
    const { code, json } = await desk.run(['ping', 'mini', '-c', '1000000', '--json'], {
      onStart: (interrupt, out) => { const look = setInterval(() => { if (out.stdout().includes('pong')) { clearInterval(look); interrupt() } }, 5) },
    })
    expect(code).toBe(0)
    expect(json().at(-1)).toMatchObject({ event: 'summary', path: 'direct' })
  })
})

describe('leave', () => {
  test('says who knows; --json has the whole departure', async () => {
    expect((await desk.run(['leave', '--yes'])).stdout).toBe('laptop has left the mesh bramble; mini knows.\n')
    expect((await desk.run(['leave', '--yes', '--json'])).json()[0]).toEqual({ schema: 'elder/leave.v1', device: SELF, mesh: desk.node.mesh, told: [MINI], lost: [], offline: false })
  })

  test('what stands against it is said with its fix, and --force goes all the same, naming what is lost', async () => {
    desk.node.obstacle = new ElderError('ONLY_COPY', 'One stack is only here: notes.', 'elder-node leave --force')
    const refused = await desk.run(['leave', '--yes', '--json'])
    expect([refused.code, refused.json()[0]]).toEqual([1, { schema: 'elder/error.v1', error: { code: 'ONLY_COPY', message: 'One stack is only here: notes.', fix: 'elder-node leave --force' } }])
    expect((await desk.run(['leave', '--force', '--yes'])).stdout).toContain('Lost with it: notes')
  })

  test('a person at a terminal sees what is hit and is asked; no is 130 and nothing happens', async () => {
    const no = await desk.run(['leave'], { tty: { columns: 200, rows: 24 }, stdin: 'n\n' })
    expect([no.code, no.stdout]).toEqual([130, ''])
    expect(no.stderr).toMatch(/This takes laptop \(this device, id a{12}, builder\) out of the mesh bramble for ever.*\[y\/N\] .*nothing was done/s)
    // As a terminal hands it over: Ctrl-C is a character to readline.
    const broken = await desk.run(['leave'], { tty: { columns: 200, rows: 24 }, stdin: '\u0003' })
    expect([broken.code, broken.stderr]).toEqual([130, expect.stringContaining('nothing was done')])
    expect((await desk.run(['leave'], { tty: { columns: 80, rows: 24 }, stdin: 'yes\n' })).stdout).toContain('has left the mesh')
    expect((await desk.run(['leave', '--yes'], { tty: { columns: 80, rows: 24 } })).stderr).not.toContain('[y/N]')
  })

  test('where nobody can be asked it is 2 without --yes, and the command that does it is the fix', async () => {
    const terminal = { tty: { columns: 80, rows: 24 }, stdin: 'y\n' }
    for (const refused of [await desk.run(['leave', '--json']), await desk.run(['leave', '--json'], terminal)]) {
      expect([refused.code, refused.json()[0]?.error]).toEqual([2, { code: 'NEEDS_YES', message: expect.stringContaining('laptop') as string, fix: 'elder-node leave --yes' }])
    }
    expect((await desk.run(['leave', '--force', '--no-input'], terminal)).stderr).toContain('elder-node leave --force --yes\n')
  })

  test('without a node: 4 unless --force, which forgets the mesh and keeps the settings', async () => {
    await using idle = new Desk()
    for (const path of ['mesh', 'stacks/a', 'mirrors', 'builds']) mkdirSync(join(idle.dir, path), { recursive: true })
    for (const path of ['mesh/mesh.cbor', 'device.key', 'settings.json', 'config.json']) writeFileSync(join(idle.dir, path), 'x')
    const refused = await idle.run(['leave', '--json'])
    expect([refused.code, refused.json()[0]?.error]).toMatchObject([4, { code: 'NOT_RUNNING', fix: expect.stringContaining('--force') as string }])
    expect(existsSync(join(idle.dir, 'device.key'))).toBe(true)
    expect((await idle.run(['leave', '--force', '--yes', '--json'])).json()[0]).toMatchObject({ offline: true, told: [] })
    expect(readdirSync(idle.dir).sort()).toEqual(['config.json', 'settings.json'])
    expect((await idle.run(['leave'])).code).toBe(3)
  })
})

describe('evict', () => {
  const terminal = (stdin: string): RunOptions => ({ tty: { columns: 200, rows: 24 }, stdin })

  test('a person sees the name, the id, the role and when it was last seen, and is asked', async () => {
    const no = await desk.run(['evict', 'mini'], terminal('\n'))
    expect([no.code, no.stdout]).toEqual([130, ''])
    expect(no.stderr).toMatch(/^This evicts mini \(id b{12}, builder, last seen .+ ago\) for ever.*Go on\? \[y\/N\] .*nothing was done/s)
    expect(await desk.run(['evict', 'mini', '--undo'], terminal('y\n'))).toMatchObject({ code: 0, stdout: `mini (${MINI.id.slice(0, 12)}) is no longer a member of this mesh, and all that it wrote is taken back.\n`, stderr: expect.stringContaining('all that it wrote is taken back') as string })
  })

  test('where nobody can be asked it is 2 without --yes, naming the device and the command; nothing is evicted', async () => {
    const evicted = vi.spyOn(desk.node, 'evict')
    desk.node.evictee = async () => ({ ...MINI, role: null, lastSeen: null, remotes: [] })
    const refused = await desk.run(['evict', 'mini', '--undo', '--json'])
    expect([refused.code, refused.json()[0]?.error]).toEqual([2, { code: 'NEEDS_YES', message: expect.stringMatching(/takes back all that mini \(id b{12}, no member any more, last seen never\) wrote/) as string, fix: `elder-node evict ${'b'.repeat(12)} --undo --yes` }])
    expect(evicted).not.toHaveBeenCalled()
    expect((await desk.run(['evict', 'mini', '--undo', '--yes'])).stdout).toBe(`All that mini (${'b'.repeat(12)}) wrote is taken back.\n`)
    expect(evicted).toHaveBeenCalledExactlyOnceWith(MINI.id, { undo: true })
  })

  test('--keep says which stacks come back, asks, and goes with --undo no further than to a usage error', async () => {
    const evicted = vi.spyOn(desk.node, 'evict')
    const kept = [{ stack: 'my-repo', heads: 2 }]
    desk.node.evictee = async () => ({ ...MINI, role: null, lastSeen: null, remotes: [], kept })
    const both = await desk.run(['evict', 'mini', '--keep', '--undo', '--json'])
    expect(both.code).toBe(2)
    expect(both.json()[0]?.error).toMatchObject({ code: 'USAGE', fix: 'elder-node evict mini --keep' })
    const no = await desk.run(['evict', 'mini', '--keep'], terminal('n\n'))
    const whom = 'This brings back what mini (id bbbbbbbbbbbb, no member any more, last seen never) wrote beyond its cut'
    expect(no.stderr).toContain(`${whom}, in the stack my-repo; afterwards only --undo`)
    expect(evicted).not.toHaveBeenCalled()
    const { stdout } = await desk.run(['evict', 'mini', '--keep', '--yes'])
    expect(stdout).toBe('What mini (bbbbbbbbbbbb) wrote beyond its cut counts again, in the stack my-repo.\n')
    expect(evicted).toHaveBeenCalledExactlyOnceWith(MINI.id, { keep: true })
    const [document] = (await desk.run(['evict', 'mini', '--keep', '--yes', '--json'])).json()
    expect(document).toEqual({ schema: 'elder/evict.v1', device: MINI, remotes: [], kept })
  })

  test('a device that is not there is an error of its own, before any question', async () => {
    expect((await desk.run(['evict', 'nobody', '--json'])).json()[0]).toMatchObject({ error: { code: 'NO_SUCH_DEVICE' } })
  })
})

test('devices promote', async () => {
  expect((await desk.run(['devices', 'promote', 'mini'])).stdout).toBe(`mini (${MINI.id.slice(0, 12)}) is an admin of this mesh.\n`)
  expect((await desk.run(['devices', 'promote', 'nobody', '--json'])).json()[0]).toMatchObject({ error: { code: 'NO_SUCH_DEVICE' } })
  expect((await desk.run(['devices', '--json'])).json()[0]).toMatchObject({ schema: 'elder/devices.v1' })
})
