/**
 * The `process` engine of an ordinary user: what its builds may do is what the node may do, unless somebody stands in
 * the way.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { needs } from '../../packages/node/test/support/when.ts'
import { BIN } from '../support/bin.ts'
import { until } from './support.ts'

const isRoot = process.getuid?.() === 0
/** Nobody's own: root tests as this user. */
const UID = isRoot ? 65_534 : process.getuid?.() ?? 0
const home = mkdtempSync(join(tmpdir(), 'elder-ordinary-'))
const dir = join(home, 'data')
const project = join(home, 'project')
// The program lies in a folder that root alone may enter.
cpSync(dirname(dirname(BIN)), join(home, 'program'), { recursive: true })
mkdirSync(project)
writeFileSync(join(project, 'in.txt'), 'x\n')
for (const path of [home, project]) {
  chmodSync(path, 0o755)
  if (isRoot) chownSync(path, UID, UID)
}
const ends: Array<() => unknown> = [() => { rmSync(home, { recursive: true, force: true }) }]
afterAll(async () => { for (const end of ends.toReversed()) await end() })

const env = { PATH: process.env['PATH'] ?? '', HOME: home, NO_COLOR: '1' }
const as = { env, cwd: home, ...(isRoot ? { uid: UID, gid: UID } : {}) }
/** JSON goes before the words of a build's command. */
const words = ([verb = '', ...args]: string[], at: string): string[] =>
  [join(home, 'program/bin/elder-node.js'), verb, '--json', '--no-input', '--dir', at, ...args]
const runAt = (at: string, ...args: string[]): { code: number | null, out: string } => {
  const options = { ...as, encoding: 'utf8', timeout: 60_000 } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, words(args, at), options)
  return { code: status, out: stdout + stderr }
}
const run = (...args: string[]): { code: number | null, out: string } => runAt(dir, ...args)
const JOIN = ['join', '--engine', 'process', '--slots', '1', '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']

interface Begun { printed: () => string, ended: Promise<number | null> }

const begin = (...args: string[]): Begun => beginAt(dir, '', ...args)

function beginAt (at: string, stdin: string, ...args: string[]): Begun {
  const child = spawn(process.execPath, words(args, at), { ...as, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end(stdin)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { said += text })
  const ended = new Promise<number | null>(resolve => { child.once('close', resolve) })
  ends.push(() => { child.kill('SIGTERM'); return ended })
  return { printed: () => said, ended }
}

/** What a hostile build would try, each on its own line. */
const ATTACKS = (pid: number): string => `
cat ${dir}/device.key > /dev/null 2>&1 && echo KEY
cat /proc/${pid}/root${dir}/device.key > /dev/null 2>&1 && echo KEY-BY-PROC
umount ${dir} > /dev/null 2>&1; unshare -Urm sh -c 'umount ${dir} && cat ${dir}/device.key' > /dev/null 2>&1 && echo KEY-BY-UMOUNT
ls ${dir}/control.sock > /dev/null 2>&1 && echo SOCKET
head -c 1 /proc/${pid}/mem > /dev/null 2>&1; [ $? -eq 0 ] && echo MEMORY
echo looked; sleep 600`

describe.runIf(needs(process.platform === 'linux', 'Linux'))('the process engine of an ordinary user', () => {
  test('on a device that may invite and evict: refused, until its owner says that builds are trusted; then it holds', async () => {
    const refused = run(...JOIN)
    expect([refused.code, refused.out]).toEqual([1, expect.stringContaining('PROCESS_ADMIN')])
    expect(refused.out).toContain('--trust-builds')
    expect(existsSync(join(dir, 'mesh/mesh.cbor'))).toBe(false)
    const first = begin(...JOIN, '--trust-builds')
    await until(`the node is ready: ${first.printed()}`, () => first.printed().includes('"ready"'))
    expect(run('config', 'get', 'build.trust').out).toContain('true')
    await (ends.pop() as () => unknown)()
    const again = begin(...JOIN)
    await until(`the node is ready again: ${again.printed()}`, () => again.printed().includes('"ready"'))
  })

  test('its builds neither read the key nor decide who belongs to the mesh', async () => {
    const { self } = JSON.parse(run('status').out) as { self: { pid: number, engineNote: string } }
    const build = begin('build', project, '--local', 'only', '--', 'sh', '-c', ATTACKS(self.pid))
    await until(`the build runs: ${build.printed()}`, () => build.printed().includes('looked'))
    const namespaces = spawnSync('unshare', ['--user', '--map-current-user', '--keep-caps', '--mount', 'true'], as).status === 0
    if (needs(namespaces, 'user namespaces for ordinary users')) expect(self.engineNote).toContain('not the data directory')
    if (namespaces) for (const won of ['KEY', 'SOCKET', 'MEMORY']) expect(build.printed()).not.toMatch(new RegExp(`"data":"[^"]*${won}`))
    for (const verb of [['invite'], ['devices', 'promote', 'nobody']]) {
      const { code, out } = run(...verb)
      expect([code, out], verb.join(' ')).toEqual([1, expect.stringContaining('PROCESS_RUNS')])
    }
    await (ends.pop() as () => unknown)()
    await until('the build has ended', () => run('invite').code === 0)
  })

  test('a builder needs no such word, until it is promoted: then it offers no slots, and says why', async () => {
    const { ticket } = JSON.parse(run('invite').out) as { ticket: string }
    const second = join(home, 'second')
    const node = beginAt(second, ticket, ...JOIN, '--name', 'second', '--ticket-file', '-')
    await until(`the second node is ready: ${node.printed()}`, () => node.printed().includes('"ready"'))
    const note = (): string => (JSON.parse(runAt(second, 'status').out) as { self: { engineNote: string } }).self.engineNote
    expect(note()).not.toContain('0 slots')
    await until('the first hears of the second', () => run('devices', 'promote', 'second').code === 0)
    await until('the promotion takes the slots away', () => note().includes('0 slots: process engine on an admin device'))
  })
})
