/**
 * The system calls a sandboxed build may not make, as the program that the kernel runs on each call (seccomp, classic BPF; see
 * seccomp(2) and linux/filter.h). Pure. The list is what Docker's default profile withholds from a container without
 * capabilities, as far as the kernel would let an ordinary user reach it. Unlike there, `ptrace` and `process_vm_*` stay: the
 * PID namespace holds nothing but the build, so a debugger in a test reaches only that.
 */

export type Arch = 'x64' | 'arm64'

/** `when`: only when the low 32 bits of that argument (from 0) have one of the bits or are one of the values. */
interface Rule {
  numbers: { x64?: number, arm64?: number }
  errno: number
  when?: { argument: number, anyBit: number } | { argument: number, oneOf: number[] }
}

const EPERM = 1
/** Programs take it for an old kernel and use the older call, whose arguments can be looked at. */
const ENOSYS = 38

const AUDIT_ARCH: Record<Arch, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }
/** The newest call this list has an opinion on (Linux 6.18). What a later kernel adds is refused until somebody has looked. */
const NUMBER_MAX = 469

const CLONE_NEW = 0x7e020000 // NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
const TERMINAL_INPUT = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */]
const AF_ALG = 38
const AF_VSOCK = 40

/** Calls that are refused whatever their arguments: [x86_64, arm64]. */
export const DENIED: Record<string, [x64: number | null, arm64: number | null]> = {
  // A file system of its own making, or out of the one it was given.
  mount: [165, 40], umount2: [166, 39], pivot_root: [155, 41], chroot: [161, 51], move_mount: [429, 429], open_tree: [428, 428], fsopen: [430, 430],
  fsconfig: [431, 431], fsmount: [432, 432], fspick: [433, 433], mount_setattr: [442, 442], open_tree_attr: [467, 467], open_by_handle_at: [304, 265],
  // Other namespaces.
  setns: [308, 268], unshare: [272, 97],
  // Code in the kernel, or big parts of it that few have looked at.
  bpf: [321, 280], init_module: [175, 105], finit_module: [313, 273], delete_module: [176, 106], create_module: [174, null], kexec_load: [246, 104],
  kexec_file_load: [320, 294], perf_event_open: [298, 241], userfaultfd: [323, 282], lookup_dcookie: [212, 18], nfsservctl: [180, 42], uselib: [134, null],
  _sysctl: [156, null], sysfs: [139, null], ustat: [136, null], fanotify_init: [300, 262],
  // Keys are not in any namespace.
  keyctl: [250, 219], add_key: [248, 217], request_key: [249, 218],
  // The machine itself.
  reboot: [169, 142], swapon: [167, 224], swapoff: [168, 225], acct: [163, 89], quotactl: [179, 60], quotactl_fd: [443, 443], settimeofday: [164, 170],
  clock_settime: [227, 112], clock_adjtime: [305, 266], iopl: [172, null], ioperm: [173, null], syslog: [103, 116], vhangup: [153, 58], sethostname: [170, 161], setdomainname: [171, 162],
}

/** Refused as if the kernel had none: libraries fall back. */
export const ABSENT: Record<string, [x64: number | null, arm64: number | null]> = {
  clone3: [435, 435], io_uring_setup: [425, 425], io_uring_enter: [426, 426], io_uring_register: [427, 427],
}

const WITH_ARGUMENTS: Rule[] = [
  { numbers: { x64: 56, arm64: 220 }, errno: EPERM, when: { argument: 0, anyBit: CLONE_NEW } }, // clone
  { numbers: { x64: 16, arm64: 29 }, errno: EPERM, when: { argument: 1, oneOf: TERMINAL_INPUT } }, // ioctl
  { numbers: { x64: 41, arm64: 198 }, errno: EPERM, when: { argument: 0, oneOf: [AF_ALG, AF_VSOCK] } }, // socket
]

const [LOAD, JUMP_EQUAL, JUMP_GREATER, JUMP_ANY_BIT, RETURN] = [0x20, 0x15, 0x25, 0x45, 0x06] as const
const [AT_NUMBER, AT_ARCH, AT_ARGUMENTS] = [0, 4, 16] as const
const ALLOW = 0x7fff0000
const refuse = (errno: number): number => 0x00050000 | errno

type Instruction = [code: number, yes: number, no: number, k: number]

/** The program for `bwrap --seccomp`: 8 bytes per instruction, little-endian as both architectures are. */
export function seccompProgram (arch: Arch): Uint8Array {
  const program: Instruction[] = [
    // A 32-bit call has other numbers: none is let through.
    [LOAD, 0, 0, AT_ARCH], [JUMP_EQUAL, 1, 0, AUDIT_ARCH[arch]], [RETURN, 0, 0, refuse(ENOSYS)],
    // So has the x32 ABI: bit 30.
    [LOAD, 0, 0, AT_NUMBER], [JUMP_GREATER, 0, 1, NUMBER_MAX], [RETURN, 0, 0, refuse(ENOSYS)],
    ...rules().flatMap(rule => instructions(rule, arch)),
    [RETURN, 0, 0, ALLOW],
  ]
  const bytes = new DataView(new ArrayBuffer(program.length * 8))
  program.forEach(([code, yes, no, k], i) => {
    bytes.setUint16(i * 8, code, true)
    bytes.setUint8(i * 8 + 2, yes)
    bytes.setUint8(i * 8 + 3, no)
    bytes.setUint32(i * 8 + 4, k, true)
  })
  return new Uint8Array(bytes.buffer)
}

function rules (): Rule[] {
  const plain = (calls: typeof DENIED, errno: number): Rule[] => Object.values(calls).map(([x64, arm64]) => ({ numbers: { ...(x64 === null ? {} : { x64 }), ...(arm64 === null ? {} : { arm64 }) }, errno }))
  return [...WITH_ARGUMENTS, ...plain(DENIED, EPERM), ...plain(ABSENT, ENOSYS)]
}

function instructions ({ numbers, errno, when }: Rule, arch: Arch): Instruction[] {
  const number = numbers[arch]
  if (number === undefined) return []
  if (when === undefined) return [[JUMP_EQUAL, 0, 1, number], [RETURN, 0, 0, refuse(errno)]]
  const checks: Instruction[] = 'anyBit' in when
    ? [[JUMP_ANY_BIT, 0, 1, when.anyBit]]
    : when.oneOf.map((value, i): Instruction => [JUMP_EQUAL, when.oneOf.length - 1 - i, i === when.oneOf.length - 1 ? 1 : 0, value])
  const body: Instruction[] = [[LOAD, 0, 0, AT_ARGUMENTS + 8 * when.argument], ...checks, [RETURN, 0, 0, refuse(errno)], [RETURN, 0, 0, ALLOW]]
  return [[JUMP_EQUAL, 0, body.length, number], ...body]
}
