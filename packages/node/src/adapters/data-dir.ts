import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { makePrivateDir } from './files.ts'
import { xdgDir } from './xdg.ts'

/** Where everything of one node is. All paths are absolute. */
export interface DataDir {
  root: string
  /** The device key, 32 bytes, 0600. */
  key: string
  lock: string
  /** The Unix socket of the control API. */
  socket: string
  /** Membership: `roster.log`, `roster-damage`, `mesh.cbor`, `addresses.cbor`. Remotes: `remotes.json`, `remotes-seen.json`. */
  mesh: string
  /** A folder for each stack with its name and its feeds; `removed.json`. */
  stacks: string
  /** Bare git mirrors; `mirrors.json`. */
  mirrors: string
  /** `builds.log`, snapshots, sources and what was prepared. */
  builds: string
  config: string
  /** What its owner set: `elder-node config`. */
  settings: string
  log: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** A socket path has 108 bytes on Linux and 104 on macOS, the end mark included. */
const SOCKET_PATH_BYTES_MAX = 100

/** `--dir`, else `ELDER_NODE_DIR`, else `$XDG_STATE_HOME/elder-node`, else `~/.local/state/elder-node`. */
export function dataDirPath (dir: string | undefined, env: Environment = process.env): string {
  const given = dir ?? env['ELDER_NODE_DIR']
  if (given !== undefined && given !== '') return resolve(given)
  return join(xdgDir('XDG_STATE_HOME', env), 'elder-node')
}

/** The layout below a root; touches nothing. */
export function dataDirAt (root: string, env: Environment = process.env): DataDir {
  const at = (name: string): string => join(root, name)
  return {
    root, key: at('device.key'), lock: at('lock'), socket: socketPath(root, env), mesh: at('mesh'), stacks: at('stacks'),
    mirrors: at('mirrors'), builds: at('builds'), config: at('config.json'), settings: at('settings.json'), log: at('node.log'),
  }
}

/** Makes the directories that every start needs. @throws ElderError `STORAGE`, `RUNTIME_DIR` */
export function prepareDataDir (dir: DataDir, env: Environment = process.env): void {
  for (const path of [dir.root, dir.mesh, dir.stacks, dir.mirrors, dir.builds]) makePrivateDir(path)
  if (!dir.socket.startsWith(dir.root)) makeRuntimeDir(runtimeDir(env))
}

/**
 * The first file or folder that only a device of a mesh has; undefined in the directory of a device that never was in one. Without
 * `mesh.cbor` or the key, the rest of a mesh is no reason to found another.
 */
export function traceOfMesh (dir: DataDir): string | undefined {
  const stacks = namesIn(dir.stacks).map(name => join(dir.stacks, name)).filter(path => namesIn(path).length > 0)
  return [join(dir.mesh, 'mesh.cbor'), join(dir.mesh, 'roster.log'), ...stacks].find(path => existsSync(path))
}

function namesIn (path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function socketPath (root: string, env: Environment): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\elder-node-${hashOf(root)}`
  const plain = join(root, 'control.sock')
  return Buffer.byteLength(plain) <= SOCKET_PATH_BYTES_MAX ? plain : join(runtimeDir(env), `${hashOf(root)}.sock`)
}

function runtimeDir (env: Environment): string {
  const runtime = env['XDG_RUNTIME_DIR']
  if (runtime?.startsWith('/') === true && Buffer.byteLength(runtime) < 50) return join(runtime, 'elder-node')
  const short = Buffer.byteLength(tmpdir()) < 50 ? tmpdir() : '/tmp'
  return join(short, `elder-${userInfo().uid}`)
}

/** In a directory that all may write to, somebody else may have been there first. */
function makeRuntimeDir (path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new ElderError('RUNTIME_DIR', `Cannot make ${path} for the control socket: ${(error as Error).message}`, 'Choose a shorter --dir, or set XDG_RUNTIME_DIR.', { path })
  }
  const stat = lstatSync(path)
  const foreign = process.platform !== 'win32' && (stat.uid !== userInfo().uid || (stat.mode & 0o077) !== 0)
  if (!stat.isDirectory() || foreign) {
    throw new ElderError('RUNTIME_DIR', `${path} does not belong to this user alone, so the control socket would not be private.`, `Remove ${path}, or choose a shorter --dir.`, { path })
  }
}

function hashOf (root: string): string { return createHash('sha256').update(root).digest('hex').slice(0, 16) }
