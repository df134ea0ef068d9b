import { describe, expect, test } from 'vitest'
import { bwrapArguments, countsPerNamespace, INSIDE, isNewEnough, isVisible } from '../src/adapters/engine-sandbox/plan.ts'
import { remedy } from '../src/adapters/engine-sandbox/probe.ts'
import { ABSENT, DENIED, seccompProgram, type Arch } from '../src/adapters/engine-sandbox/seccomp.ts'

const AUDIT = { x64: 0xc000003e, arm64: 0xc00000b7 }
const NUMBERS = { x64: { read: 0, clone: 56, ioctl: 16, socket: 41, ptrace: 101 }, arm64: { read: 63, clone: 220, ioctl: 29, socket: 198, ptrace: 117 } }
const [ALLOW, EPERM, ENOSYS] = ['allow', 'EPERM', 'ENOSYS'] as const

interface Call { nr: number, arch?: number, args?: number[] }

/** What the kernel's classic BPF machine answers: the five instructions the program uses, and no other. */
function verdict (program: Uint8Array, { nr, arch, args = [] }: Call): string {
  const view = new DataView(program.buffer)
  const load = (at: number): number => at === 0 ? nr : at === 4 ? arch ?? 0 : (at - 16) % 8 === 0 ? (args[(at - 16) / 8] ?? 0) >>> 0 : NaN
  let a = 0
  for (let pc = 0; ; pc++) {
    const [code, yes, no, k] = [view.getUint16(pc * 8, true), view.getUint8(pc * 8 + 2), view.getUint8(pc * 8 + 3), view.getUint32(pc * 8 + 4, true)]
    const jump = (condition: boolean): void => { pc += condition ? yes : no }
    if (code === 0x20) a = load(k)
    else if (code === 0x15) jump(a === k)
    else if (code === 0x25) jump(a > k)
    else if (code === 0x45) jump((a & k) !== 0)
    else if (code === 0x06) return k === 0x7fff0000 ? ALLOW : k === 0x00050001 ? EPERM : k === 0x00050026 ? ENOSYS : `return ${k}`
    else throw new Error(`instruction ${code} at ${pc}`)
  }
}

describe.each(['x64', 'arm64'] as Arch[])('the system call filter on %s', cpu => {
  const program = seccompProgram(cpu)
  const of = cpu === 'x64' ? 0 : 1
  const says = (nr: number, args: number[] = [], arch: number = AUDIT[cpu]): string => verdict(program, { nr, args, arch })

  test('denies each call of the list, hides each that libraries can do without, allows the others', () => {
    const numbers = (table: typeof DENIED): number[] => Object.values(table).map(pair => pair[of]).filter(number => number !== null)
    for (const nr of numbers(DENIED)) expect(says(nr), String(nr)).toBe(EPERM)
    for (const nr of numbers(ABSENT)) expect(says(nr), String(nr)).toBe(ENOSYS)
    const special = new Set([...numbers(DENIED), ...numbers(ABSENT)])
    for (let nr = 0; nr < 460; nr++) if (!special.has(nr)) expect(says(nr), String(nr)).toBe(ALLOW)
  })

  test('debuggers work: ptrace is allowed', () => { expect(says(NUMBERS[cpu].ptrace)).toBe(ALLOW) })

  test.each([
    ['clone', [0x11], ALLOW], ['clone', [0x003d0f00], ALLOW], ['clone', [0x10000011], EPERM], ['clone', [0x20000], EPERM], ['clone', [0x40000000], EPERM],
    ['ioctl', [0, 0x5401], ALLOW], ['ioctl', [0, 0x5412], EPERM], ['ioctl', [0, 0x541c], EPERM],
    ['socket', [2, 1], ALLOW], ['socket', [16, 3], ALLOW], ['socket', [38, 5], EPERM], ['socket', [40, 1], EPERM],
  ] as Array<['clone' | 'ioctl' | 'socket', number[], string]>)('%s with %j: %s', (call, args, answer) => { expect(says(NUMBERS[cpu][call], args)).toBe(answer) })

  test('no call of another architecture, of x32 or of a later kernel is let through', () => {
    for (const arch of [0x40000003, 0x40000028, 0, AUDIT[cpu === 'x64' ? 'arm64' : 'x64']]) expect(says(NUMBERS[cpu].read, [], arch)).toBe(ENOSYS)
    for (const nr of [470, 1000, 0x40000000, 0x40000000 + 165, 0xffffffff]) expect(says(nr)).toBe(ENOSYS)
  })
})

describe('what a build sees', () => {
  const plan = { system: [{ path: '/usr' }, { path: '/bin', link: 'usr/bin' }], accounts: { passwd: '/r/p', group: '/r/g' }, hidden: ['/opt/elder'], readable: [], fds: { seccomp: 3, info: 4 } }
  const folder = { folder: '/r/b.0', tree: '/r/b.0/tree', home: '/r/b.0/home', tmp: '/r/b.0/tmp' }

  test('only its own folders are writable, and the network goes when it is sealed', () => {
    const args = bwrapArguments({ ...plan, sealed: false, folder })
    const writable = args.flatMap((arg, i) => arg === '--bind' ? [args[i + 1]] : [])
    expect(new Set(writable)).toEqual(new Set([folder.tree, folder.home, folder.tmp]))
    expect(args.join(' ')).toContain('--symlink usr/bin /bin')
    expect(args.slice(-2)).toEqual(['--remount-ro', '/'])
    expect(args).toContain('--share-net')
    expect(bwrapArguments({ ...plan, sealed: true, folder })).not.toContain('--share-net')
    expect(args[args.indexOf(folder.tree) + 1]).toBe(INSIDE.tree)
    // After the system that it lies in.
    expect(args.indexOf('/opt/elder')).toBeGreaterThan(args.lastIndexOf('--ro-bind-try', args.indexOf('--proc')))
    expect(args.slice(args.indexOf('/opt/elder') - 1).slice(0, 4)).toEqual(['--tmpfs', '/opt/elder', '--remount-ro', '/opt/elder'])
  })

  test('the owner\'s home, keys and accounts are not visible', () => {
    for (const path of ['/usr/bin', '/etc/ssl/certs/ca.pem', '/opt']) expect(isVisible(path)).toBe(true)
    for (const path of ['/home/me/.nvm/bin', '/root', '/etc/shadow', '/etc/ssl/private', '/usrx', '/var/lib', '/tmp']) expect(isVisible(path)).toBe(false)
  })
})

describe('what helps', () => {
  test('bubblewrap before 0.8 cannot forbid user namespaces', () => {
    expect(['0.8.0', '0.11.0', '1.0', '0.4.0', '0.7.9', 'none'].map(isNewEnough)).toEqual([true, true, true, false, false, undefined])
    expect(['6.18.44', '5.14.0-x', '5.10.0', '4.19'].map(countsPerNamespace)).toEqual([true, true, false, false])
  })

  test('the setting that forbids namespaces is named with its command', async () => {
    const where = (settings: Record<string, string>): Promise<string> => remedy(async name => settings[name] ?? '', 'bwrap: setting up uid map: Permission denied')
    expect(await where({ 'kernel/unprivileged_userns_clone': '0' })).toContain('kernel.unprivileged_userns_clone=1')
    expect(await where({ 'user/max_user_namespaces': '0' })).toContain('user.max_user_namespaces')
    expect(await where({ 'kernel/apparmor_restrict_unprivileged_userns': '1' })).toContain('bwrap-userns-restrict')
    expect(await where({})).toContain('container')
  })
})
