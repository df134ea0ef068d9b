/** What a sandboxed build sees of this machine, as arguments of bwrap. Pure: what the machine has comes in. */
import type { BuildFolder } from '../engine-common/trees.ts'

/** Top folders of the system: a folder is bound, a link (merged /usr) is made again. */
export interface SystemEntry { path: string, link?: string }

/** Programs and libraries. Read-only; the private folders of people and services lie elsewhere. */
export const SYSTEM: string[] = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32', '/opt', '/nix/store', '/gnu/store', '/run/current-system/sw']

/** Of /etc: what programs need to find libraries, names, certificates and the time. Nothing of accounts, services or keys. */
const ETC: string[] = [
  'alternatives', 'ca-certificates', 'ca-certificates.conf', 'crypto-policies', 'debian_version', 'fonts', 'gai.conf', 'gitconfig', 'host.conf', 'hosts', 'inputrc', 'java', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d',
  'locale.alias', 'localtime', 'lsb-release', 'magic', 'maven', 'mime.types', 'networks', 'nsswitch.conf', 'os-release', 'perl', 'pki/ca-trust', 'pki/tls/certs', 'pki/tls/cert.pem', 'protocols',
  'python3', 'resolv.conf', 'rpc', 'services', 'ssl/certs', 'ssl/cert.pem', 'ssl/openssl.cnf', 'static', 'terminfo', 'timezone', 'xattr.conf',
].map(name => `/etc/${name}`)

/** Where the build's own folders appear, whoever runs it and wherever they lie: the same as in a container. */
export const INSIDE = { tree: '/elder/tree', home: '/elder/home', tmp: '/elder/tmp' }

const SHARED_MEMORY_BYTES = 67_108_864

export interface Plan {
  system: SystemEntry[]
  /** Made up for the sandbox: one user and its group. */
  accounts: { passwd: string, group: string }
  sealed: boolean
  /** Folders of this node and its owner that lie inside of the system's: covered by an empty one. */
  hidden: string[]
  /** Read-only besides the system: files for builds, the script that becomes the command. */
  readable: string[]
  /** Undefined: a trial without a build. */
  folder?: BuildFolder
  /** File descriptors of the child that is bwrap. */
  fds: { seccomp: number, info: number }
}

export function bwrapArguments ({ system, accounts, sealed, hidden, readable, folder, fds }: Plan): string[] {
  return [
    '--unshare-all', '--unshare-user', '--disable-userns', ...(sealed ? [] : ['--share-net']),
    '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--seccomp', `${fds.seccomp}`, '--info-fd', `${fds.info}`,
    ...system.flatMap(({ path, link }) => link === undefined ? ['--ro-bind', path, path] : ['--symlink', link, path]),
    ...ETC.flatMap(path => ['--ro-bind-try', path, path]),
    ...hidden.flatMap(path => ['--perms', '0755', '--tmpfs', path, '--remount-ro', path]),
    '--ro-bind', accounts.passwd, '/etc/passwd', '--ro-bind', accounts.group, '/etc/group',
    '--proc', '/proc', '--dev', '/dev', '--size', `${SHARED_MEMORY_BYTES}`, '--perms', '1777', '--tmpfs', '/dev/shm', '--remount-ro', '/dev',
    '--ro-bind-try', '/sys/devices/system/cpu', '/sys/devices/system/cpu',
    ...(folder === undefined ? [] : ['--bind', folder.tree, INSIDE.tree, '--bind', folder.home, INSIDE.home, ...[INSIDE.tmp, '/tmp', '/var/tmp'].flatMap(path => ['--bind', folder.tmp, path])]),
    ...readable.flatMap(path => ['--ro-bind-try', path, path]),
    '--remount-ro', '/',
  ]
}

/** Whether a build can see the path: it is one of those above, or below one. */
export function isVisible (path: string): boolean {
  return [...SYSTEM, ...ETC].some(root => path === root || path.startsWith(`${root}/`))
}

/** `0.8.0` and up have `--disable-userns`. Undefined when the text names no version. */
export function isNewEnough (version: string): boolean | undefined {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version) ?? []
  return major === undefined ? undefined : Number(major) > 0 || Number(minor) >= 8
}

/** Before Linux 5.14 processes are counted for a user on the whole machine, not in a user namespace. */
export function countsPerNamespace (release: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return major !== undefined && (Number(major) > 5 || (Number(major) === 5 && Number(minor) >= 14))
}
