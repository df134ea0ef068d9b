/** What the mirror needs of a stack, and what it tells. */
import type { Batch, DeviceId, FeedId, StackId, Want } from '@elder-node/protocol'
import type { Commit } from '../git/port.ts'
import type { Entry, Received } from '../types.ts'

/** One stack as the mirror sees it; the `Stack` of this package fits, with its folder's name beside it. */
export interface MirroredStack {
  readonly id: StackId
  /** Folder in the mirror: the stack's name, or `<name>@<mesh>` for an archived one. */
  readonly key: string
  /** Every path cut into windows of 256, each by its last record. */
  windows (): Want[]
  /** Signed batches along the path of a want, from its first record on. */
  path (want: Want): Iterable<Batch>
  /** Is the record held whose address this is and whose hash (hex) begins so? */
  holdsAt (feed: FeedId, seq: number, hashPrefix: string): boolean
  /** Changes with the records that are held. */
  feedsDigest (): Uint8Array
  receive (batches: readonly Batch[]): Promise<Pick<Received, 'accepted' | 'missing'>>
  /** Of an evicted device: does all that counts of it stand here? Then its other segments are not taken again. @default no */
  isCut?: (device: DeviceId) => boolean
  /** Records that wait and that would be shown. @default whatever the last receive missed */
  waiting?: () => readonly unknown[]
  /** Membership records of the mesh that an archived stack came from: with them it can be restored from here again. @default none */
  origin?: () => readonly Uint8Array[]
  /** The stack was removed: what the remote has beyond is still taken, all its files go. @default false */
  gone?: () => boolean
  /** Every entry, removed ones included or not. */
  entries (): Entry[] | Promise<Entry[]>
}

/** A stack of this package, with its folder. @default its name */
export function mirroredStack (stack: Omit<MirroredStack, 'key'> & { name: string }, key: string = stack.name): MirroredStack {
  return {
    id: stack.id, key, windows: () => stack.windows(), path: want => stack.path(want), feedsDigest: () => stack.feedsDigest(),
    holdsAt: (feed, seq, hashPrefix) => stack.holdsAt(feed, seq, hashPrefix), receive: batches => stack.receive(batches),
    isCut: device => stack.isCut?.(device) ?? false, ...(stack.waiting === undefined ? {} : { waiting: () => stack.waiting?.() ?? [] }), entries: () => stack.entries(),
  }
}

export interface MirrorProblem {
  code: 'MIRROR_SEGMENT' | 'MIRROR_EDITED' | 'MIRROR_REWRITTEN' | 'MIRROR_FOREIGN' | 'MIRROR_NEWER' | 'MIRROR_OLDER' | 'STACK_NOT_RESTORED'
  message: string
  fix: string
}

/** `elder.json` at the root of the branch. */
export interface MirrorHeader { format: number, renderer: number, importer: number, mesh: string }

export const MIRROR_FORMAT = 2
export const RENDERER = 2
export const IMPORTER = 1

export interface SyncResult {
  /** The remote's branch when the pass ended. */
  tip: Commit | undefined
  /** A commit of ours went out. */
  pushed: boolean
  /** Folders of the stacks that the remote holds in full, as we know them. */
  covered: Set<string>
  /** Folders of the stacks that gained records. */
  gained: Set<string>
  problems: MirrorProblem[]
}
