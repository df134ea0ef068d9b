/** What the mirror service stands on. */
import type { GitMirror, GitOptions, MirroredStack, RosterVerdict } from '@elder-node/crdt-stack/mirror'
import type { Crypto, DeviceId, MeshId, StackId } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'

/** `stack` is a stack's name, or `--all` for every stack, later ones included. `device`: no other device knows of it, so this one pushes. @default 'mesh' */
export interface MirrorRemote { stack: string, url: string, scope?: 'mesh' | 'device' }

/** The stacks of this device and where they are mirrored to. */
export interface MirrorSource {
  stacks (): MirroredStack[]
  remotes (): MirrorRemote[]
  /** Opens a stack that stands on an `--all` remote and is not here yet; undefined leaves it there. */
  adopt? (key: string, author: DeviceId): Promise<MirroredStack | undefined>
  /** Calls with the key of a stack that gained records, from whomever. Returns the unsubscriber. */
  onChanged (listener: (key: string) => void): () => void
  onRemotesChanged (listener: () => void): () => void
}

export interface MirrorComponents {
  source: MirrorSource
  /** Opens the cache of a remote; with `scratch`, one that is deleted when closed. */
  openGit (url: string, options: GitOptions & { scratch?: boolean }): Promise<GitMirror>
  self: DeviceId
  mesh: MeshId
  /** Members that are online now, this device not among them. */
  livePeers (): DeviceId[]
  crypto: Crypto
  clock: Clock
  /** Uniform in [0, 1). */
  random (): number
  files: PrivateFiles
  log: Logger
  /** Membership records go to `roster/` of every mirror; those found there are handed over unverified. */
  membership: {
    records (): Uint8Array[]
    receive (records: Uint8Array[]): void
    /** Whether a stack that a remote shows may be taken for a record of that device. */
    mayFound (device: DeviceId, stack: StackId): boolean
    verify (records: Uint8Array[], mesh: string): RosterVerdict | Promise<RosterVerdict>
  }
}

export interface MirrorServiceInit {
  /** Pause after the last change before it is pushed. @default 30_000 */
  idleMs?: number
  /** A change is pushed after this long, however busy the stack is. @default 300_000 */
  busyMs?: number
  /** Between two looks at a remote. A device that is not elected pushes after two of them. @default 60_000 */
  pullMs?: number
  /** What a shutdown waits for the last push. @default 10_000 */
  flushMs?: number
  /** One pass over a remote. @default 300_000 */
  passMs?: number
  /** Changes that are not on the remote for so long make it `failing`. @default 600_000 */
  failingAfterMs?: number
}
