/** The doctor's judgement over recorded facts: what a Raspberry Pi, a laptop and a broken directory look like. */
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Status } from '../src/api.ts'
import { seal } from '../src/adapters/sealed.ts'
import { examine, repairsOf, summaryOf } from '../src/gateway/doctor/doctor.ts'
import type { Diagnosed } from '../src/gateway/doctor/doctor.ts'
import type { Facts } from '../src/gateway/doctor/facts.ts'
import { Desk } from './support/cli.ts'
import { FakeNode, MINI, SELF, device } from './support/fake-node.ts'

/** /proc/cgroups of a Raspberry Pi 4 on Debian 12, as it boots and as it should be. */
const CGROUPS_OFF = '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t74\t1\ncpu\t0\t74\t1\nblkio\t0\t74\t1\nmemory\t0\t74\t0\ndevices\t0\t74\t1\npids\t0\t74\t1\n'
const CGROUPS_ON = CGROUPS_OFF.replace('memory\t0\t74\t0', 'memory\t0\t74\t1')
const PI = 'Raspberry Pi 4 Model B Rev 1.4'
const CMDLINE = 'console=serial0,115200 console=tty1 root=PARTUUID=4b0f1c11-02 rootfstype=ext4 fsck.repair=yes rootwait'
const path = '/boot/firmware/cmdline.txt'

const status = await new FakeNode().status()
const healthy: Facts = {
  platform: 'linux', uid: 1000, user: 'ada', program: { version: '0.1.0', node: 'v24.11.0', npx: false, service: false },
  dir: { path: '/d', there: true, mode: 0o700, uid: 1000, writable: true, disk: { freeBytes: 5e10, totalBytes: 1e11 }, missing: [] },
  key: { path: '/d/device.key', mode: 0o600, fault: null }, files: [{ path: '/d/mesh/mesh.cbor', fault: null, heals: false }], lock: { path: '/d/lock', there: true, holder: 7 }, socket: { path: '/d/control.sock', there: true, answers: true, folder: null },
  settings: { fault: null, recoverySaved: true, engine: 'auto', mdns: true, slots: null }, ports: [{ port: 4707, taken: true, holder: { pid: 1, name: 'node' } }],
  engines: [{ name: 'docker', note: 'docker 27', fault: null }], docker: { path: '/var/run/docker.sock', error: null, inGroup: true },
  kernel: { model: null, cgroups: CGROUPS_ON, controllers: null, cmdline: null, swaps: 'Filename\tType\n/dev/zram0 partition 1 0 100\n', mounts: '/dev/nvme0n1p2 / ext4 rw 0 0\n', memoryBytes: 8e9 },
  time: { synchronized: true, why: '' }, git: { works: true, node: true }, remotes: [{ url: 'https://git.lan/m.git', fault: null }],
  mesh: { status: { ...status, devices: [device(SELF, { role: 'admin' }), device(MINI)] }, diagnosis: { mdns: { on: true, found: [MINI] }, connections: [{ device: MINI, path: 'direct', address: '/ip4/192.168.1.9/tcp/4707/p2p/y' }], clocks: [{ device: MINI, aheadMs: 12 }], git: true } },
  hasMesh: true,
}
type Over = { [K in keyof Facts]?: Facts[K] extends object | null ? Partial<NonNullable<Facts[K]>> | null : Facts[K] }
const facts = (over: Over = {}): Facts => Object.fromEntries(Object.entries(healthy).map(([key, value]) => {
  const next = (over as Record<string, unknown>)[key]
  return [key, next === undefined ? value : typeof next === 'object' && next !== null && !Array.isArray(next) ? { ...value as object, ...next } : next]
})) as unknown as Facts
const found = (over: Over, code: string): Diagnosed | undefined => examine(facts(over)).find(one => one.code === code)
const withStatus = (over: Partial<Status>): Over => ({ mesh: { status: { ...healthy.mesh?.status as Status, ...over } } })
const unplugged: Partial<Facts['kernel']> = { model: PI, cgroups: CGROUPS_OFF }

test('a device that is well: no warning, no failure, and every check has a say', () => {
  const all = examine(healthy)
  expect(all.filter(one => one.status === 'warn' || one.status === 'fail')).toEqual([])
  expect(repairsOf(healthy)).toEqual([])
  expect(new Set(all.map(({ name }) => name)).size).toBeGreaterThanOrEqual(22)
})

test.each<[string, Over, string, Diagnosed['status'], RegExp]>([
  ['memory cgroup off on a Pi', { kernel: { ...unplugged, cmdline: { path, text: `${CMDLINE}\n` } } }, 'MEMORY_CGROUP_OFF', 'fail', /^sudo sed -i '1 s\/\$\/ cgroup_enable=memory cgroup_memory=1\/' \/boot\/firmware\/cmdline\.txt .*reboot$/],
  ['half of the words are there', { kernel: { ...unplugged, cmdline: { path, text: `${CMDLINE} cgroup_memory=1` } } }, 'MEMORY_CGROUP_OFF', 'fail', /s\/\$\/ cgroup_enable=memory\/'/],
  ['edited, not rebooted', { kernel: { ...unplugged, cmdline: { path, text: `${CMDLINE} cgroup_memory=1 cgroup_enable=memory\n` } } }, 'MEMORY_CGROUP_OFF', 'fail', /is right already: sudo reboot/],
  ['words on a line of their own', { kernel: { ...unplugged, cmdline: { path, text: `${CMDLINE}\ncgroup_enable=memory cgroup_memory=1\n` } } }, 'CMDLINE_LINES', 'fail', /one line/],
  ['no memory row at all', { kernel: { cgroups: CGROUPS_OFF.replace(/memory.*\n/, '') } }, 'MEMORY_CGROUP_OFF', 'fail', /update-grub/],
  ['version 2 without memory', { kernel: { ...unplugged, controllers: 'cpuset cpu io pids\n', cmdline: { path, text: CMDLINE } } }, 'MEMORY_CGROUP_OFF', 'fail', /sed -i/],
  ['swap file on the SD card', { kernel: { swaps: 'Filename\tType\n/var/swap file 1 0 -2\n', mounts: '/dev/mmcblk0p2 / ext4 rw 0 0\n' } }, 'SWAP_ON_CARD', 'warn', /zram/],
  ['little memory, no swap', { kernel: { swaps: 'Filename\tType\n', memoryBytes: 1e9 } }, 'NO_SWAP', 'warn', /slots 0/],
  ['EACCES on docker.sock', { docker: { error: 'EACCES', inGroup: false } }, 'DOCKER_GROUP', 'warn', /usermod -aG docker ada/],
  ['in the group since this session', { docker: { error: 'EACCES', inGroup: true } }, 'DOCKER_GROUP_LATE', 'warn', /Log out/],
  ['docker wanted and refused', { docker: { error: 'EACCES', inGroup: false }, settings: { engine: 'docker' } }, 'DOCKER_GROUP', 'fail', /usermod/],
  ['docker is down', { docker: { error: 'ECONNREFUSED' } }, 'DOCKER_SILENT', 'warn', /systemctl start docker/],
  ['no engine at all', { engines: [{ name: 'docker', note: '', fault: { code: 'ENGINE_UNAVAILABLE', message: 'no socket', fix: 'x' } }] }, 'NO_ENGINE', 'warn', /engine process/],
  ['no image for builds that name none', { engines: [{ name: 'docker', note: 'docker 27; no default image yet', fault: null, bare: true }] }, 'IMAGE_MISSING', 'warn', /^elder-node image build$/],
  ['the engine that was asked for', { settings: { engine: 'podman' }, engines: [{ name: 'podman', note: '', fault: { code: 'ENGINE_UNAVAILABLE', message: 'no socket', fix: 'start podman' } }] }, 'ENGINE_UNAVAILABLE', 'fail', /start podman/],
  ['no time server', { time: { synchronized: false } }, 'CLOCK_UNSET', 'warn', /set-ntp true/],
  ['old Node', { program: { node: 'v20.20.2' } }, 'NODE_TOO_OLD', 'fail', /Node 24/],
  ['npx', { program: { npx: true } }, 'STARTED_BY_NPX', 'warn', /service install/],
  ['directory gone', { dir: { there: false } }, 'DIR_MISSING', 'fail', /mkdir/],
  ['directory of somebody else', { dir: { uid: 0 } }, 'DIR_OWNER', 'fail', /chown/],
  ['directory open to others', { dir: { mode: 0o755 } }, 'DIR_READABLE', 'fail', /chmod 700/],
  ['read-only directory', { dir: { writable: false } }, 'DIR_READ_ONLY', 'fail', /read-only/],
  ['folder missing', { dir: { missing: ['/d/stacks'] } }, 'DIR_INCOMPLETE', 'warn', /--fix/],
  ['key open to others', { key: { mode: 0o644 } }, 'KEY_READABLE', 'fail', /chmod 600/],
  ['key cut short', { key: { fault: { code: 'KEY_DAMAGED', message: 'cut', fix: 'Restore it from a backup' } } }, 'KEY_DAMAGED', 'fail', /backup/],
  ['key gone', { key: null }, 'KEY_MISSING', 'fail', /leave --force/],
  ['stale lock', { lock: { holder: null }, mesh: null, socket: { answers: false, there: false } }, 'LOCK_STALE', 'warn', /rm \/d\/lock/],
  ['stale socket', { lock: { there: false, holder: null }, mesh: null, socket: { answers: false } }, 'SOCKET_STALE', 'warn', /rm/],
  ['node that hangs', { socket: { answers: false }, mesh: null }, 'NODE_SILENT', 'fail', /kill 7/],
  ['socket folder of another user', { socket: { folder: { path: '/tmp/elder-1000', mode: 0o700, uid: 5 } } }, 'SOCKET_FOLDER', 'fail', /shorter --dir/],
  ['port held by another program', { mesh: null, ports: [{ port: 4707, taken: true, holder: { pid: 812, name: 'ipfs' } }] }, 'PORT_IN_USE', 'fail', /config set listen \/ip4\/0\.0\.0\.0\/tcp\/4708/],
  ['nobody listens where the node says', { ports: [{ port: 4707, taken: false, holder: undefined }] }, 'PORT_SILENT', 'warn', /LISTEN_FAILED/],
  ['disk low', { dir: { disk: { freeBytes: 5, totalBytes: 100 } } }, 'DISK_LOW', 'warn', /Free/],
  ['disk full', { dir: { disk: { freeBytes: 1, totalBytes: 100 } } }, 'DISK_FULL', 'fail', /Free/],
  ['settings damaged', { settings: { fault: { code: 'SETTINGS_DAMAGED', message: 'x', fix: 'editor' } } }, 'SETTINGS_DAMAGED', 'fail', /editor/],
  ['one admin, text not confirmed', { settings: { recoverySaved: false } }, 'ONE_ADMIN', 'warn', /recovery\.saved yes/],
  ['nobody online', withStatus({ devices: [device(SELF), device(MINI, { online: false })] }), 'ALONE', 'warn', /ping mini/],
  ['behind a router', withStatus({ self: { ...status.self, reachable: 'private', relays: [] } }), 'NOT_REACHABLE', 'warn', /announce/],
  ['another version', withStatus({ devices: [device(SELF), device(MINI, { version: '0.0.9' })] }), 'VERSION_SKEW', 'warn', /same version/],
  ['old node still runs', { program: { version: '0.2.0' } }, 'VERSION_OF_NODE', 'warn', /Restart/],
  ['clock a little off', { mesh: { diagnosis: { ...healthy.mesh!.diagnosis, clocks: [{ device: MINI, aheadMs: 9_000 }] } } }, 'CLOCK_SKEW', 'warn', /set-ntp/],
  ['clock far off', { mesh: { diagnosis: { ...healthy.mesh!.diagnosis, clocks: [{ device: MINI, aheadMs: -600_000 }] } } }, 'CLOCK_SKEW', 'fail', /set-ntp/],
  ['mDNS hears nobody', { mesh: { status: { ...status, self: { ...status.self, addresses: ['/ip4/192.168.1.5/tcp/4707/p2p/x'] } }, diagnosis: { ...healthy.mesh!.diagnosis, mdns: { on: true, found: [] } } } }, 'MDNS_BLOCKED', 'warn', /access point/],
  ['no git', { git: { works: false, node: false } }, 'GIT_MISSING', 'warn', /apt install git$/],
  ['no git in the PATH of the node', { git: { works: false, node: true } }, 'GIT_MISSING', 'warn', /PATH that has it/],
  ['token expired', { remotes: [{ url: 'u', fault: { code: 'GIT_AUTH', message: '401', fix: 'git credential approve' } }] }, 'GIT_AUTH', 'fail', /credential/],
  ['what the node knows', withStatus({ problems: [{ code: 'ONLY_COPY', message: 'm', fix: 'elder-node invite' }] }), 'ONLY_COPY', 'warn', /invite/],
])('%s', (_what, over, code, expected, fix) => {
  const one = found(over, code)
  expect(one, JSON.stringify(examine(facts(over)).filter(({ status: of }) => of !== 'ok'))).toMatchObject({ status: expected, code })
  expect(one?.fix).toMatch(fix)
})

test('a folder that holds nothing of ours is never changed: --dir /etc must not lock everybody out', () => {
  const foreign: Over = { dir: { path: '/etc', mode: 0o755 }, mesh: null, hasMesh: false, key: null }
  expect(found(foreign, 'DIR_READABLE')?.status).toBe('fail')
  expect(repairsOf(facts(foreign))).toEqual([])
  expect(repairsOf(facts({ dir: { mode: 0o755 } }))).toContainEqual({ do: 'chmod', path: '/d', mode: 0o700 })
})

test('without a node what needs one is skipped with its reason, and the clock of one odd peer is not ours', () => {
  const all = examine(facts({ mesh: null, remotes: null, ports: [] }))
  expect(all.filter(({ message }) => message === 'needs the running node').length).toBeGreaterThan(5)
  expect(found({ mesh: { diagnosis: { ...healthy.mesh!.diagnosis, clocks: [9e6, 10, 20].map(aheadMs => ({ device: MINI, aheadMs })) } } }, 'CLOCK_SKEW')).toBeUndefined()
  expect(summaryOf(all).fail).toBe(0)
  // Who wants no builds needs no engine; a service of npx is at home.
  expect(found({ settings: { slots: 0 }, engines: [{ name: 'docker', note: '', fault: { code: 'X', message: 'x', fix: '' } }] }, 'NO_ENGINE')).toBeUndefined()
  expect(found({ program: { npx: true, service: true } }, 'STARTED_BY_NPX')).toBeUndefined()
})

describe('at the command line', () => {
  let desk: Desk
  beforeEach(async () => { desk = await Desk.open() })
  afterEach(() => desk[Symbol.asyncDispose]())

  test('with a node: what it says is judged; JSON has the shape; 5 when something fails', async () => {
    const well = await desk.run(['doctor', '--json'])
    expect(well.json()[0]).toMatchObject({ schema: 'elder/doctor.v1', running: true, fixed: [], checks: expect.arrayContaining([{ name: 'socket', status: 'ok', message: 'the node answers', code: null, fix: null }]) as unknown })
    desk.node.problems = [{ code: 'ONLY_COPY', message: 'The stack notes is only here.', fix: 'elder-node invite' }]
    desk.node.diagnosed = { mdns: { on: false, found: [] }, connections: [], clocks: [{ device: MINI, aheadMs: 3_600_000 }], git: true }
    const ill = await desk.run(['doctor'])
    expect(ill.code).toBe(5)
    expect(ill.stdout).toMatch(/^\[warn\] problems: The stack notes is only here\. \(ONLY_COPY\)\n {7}fix: elder-node invite$/m)
    expect(ill.stdout).toMatch(/^\[fail\] clock of peers: [^[]*\(CLOCK_SKEW\)$/m)
    expect(ill.stdout).toMatch(/\d failures?, .*with the running node\.\n$/)
  })

  test('--fix repairs modes, stale files and missing folders, says so, and nothing is left to repair', async () => {
    await using idle = new Desk()
    chmodSync(idle.dir, 0o755)
    mkdirSync(join(idle.dir, 'mesh'), { mode: 0o700 })
    for (const [name, text] of [['mesh/mesh.cbor', 'x'], ['device.key', seal(new Uint8Array(32))], ['lock', '{"pid":999999999,"started":"long ago"}']] as const) writeFileSync(join(idle.dir, name), text, { mode: 0o644 })
    await abandonedSocket(idle.socket)
    const before = await idle.run(['doctor', '--json'])
    expect(before.code).toBe(5)
    expect((before.json()[0] as { checks: Diagnosed[] }).checks.map(({ code }) => code)).toEqual(expect.arrayContaining(['DIR_READABLE', 'KEY_READABLE', 'LOCK_STALE', 'SOCKET_STALE']))
    const fixed = (await idle.run(['doctor', '--fix', '--json'])).json()[0] as { fixed: string[], checks: Diagnosed[] }
    expect(fixed.fixed).toEqual(expect.arrayContaining([`chmod 700 ${idle.dir}`, `chmod 600 ${join(idle.dir, 'device.key')}`, `rm ${join(idle.dir, 'lock')}`, `rm ${idle.socket}`]))
    expect(statSync(idle.dir).mode & 0o777).toBe(0o700)
    expect(statSync(join(idle.dir, 'device.key')).mode & 0o777).toBe(0o600)
    expect([existsSync(join(idle.dir, 'lock')), existsSync(idle.socket)]).toEqual([false, false])
    await idle.run(['doctor', '--fix'])
    expect(existsSync(join(idle.dir, 'stacks'))).toBe(true)
    expect(((await idle.run(['doctor', '--fix', '--json'])).json()[0] as { fixed: string[] }).fixed).toEqual([])
  })
})

/** The file of a socket whose server died without a word. */
async function abandonedSocket (socket: string): Promise<void> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(`${socket}.alive`, resolve) })
  const { renameSync } = await import('node:fs')
  renameSync(`${socket}.alive`, socket)
  await new Promise<void>(resolve => { server.close(() => { resolve() }) })
}
