/** Stacks as their readers and writers see them: entries, copies, remotes, search, the proof. */
import type { Author, EditOptions, Entry, EntryPatch, HistoryItem, NewEntry, Outline, StackChange, StackDigest } from '@elder-node/crdt-stack'
import type { DeviceRef, Problem } from './device.ts'

export interface MirrorStatus { url: string, state: 'ok' | 'behind' | 'failing' | 'never', lastPush: string | null, message: string | null, /** Since when something of the stack is not on the remote, as far as this device tried; left out while all is. */ behindSince?: string }

/** `archived`: it takes no writes. `from`: the mesh that it was restored from. `removed`: while it can be brought back; such ones are listed only with `all`. */
export interface StackStatus { name: string, entries: number, copies: number, mirrors: MirrorStatus[], archived: boolean, from?: string, removed?: { at: string, by: Author } }

/** An entry, and the newest one that replaces it. */
export interface ShownEntry extends Entry { supersededBy: string | null }

/** `difference`, of one entry's history: what the change did to what its author saw, as `diff -u` writes it; null for what has none. */
export interface EntryChange extends HistoryItem { difference?: string | null }

/** The stack that a git worktree means. */
export interface Place {
  stack: string
  /** The address of the repository in the form that is compared; null when there is none that could be. */
  origin: string | null
  /** The repositories that the stack is known to be of, the one it was made for first. */
  origins: string[]
  /** Whether `origin` is one of them. */
  bound: boolean
  /** The stack that is the repository's own, whatever the worktree says; null when no name is free. */
  own: string | null
  /** The name that the repository would have, were it not another's. */
  passed: { stack: string, of: string } | null
}

/** `claim`: the address of the git repository that the stack is of, remembered with this write; `share`: also when it is another's already. */
export interface AddOptions { agent?: string, claim?: { origin: string, share?: boolean } }

export interface OpenStack {
  readonly name: string
  /** @throws ElderError `STACK_ORIGIN` when `claim` names another repository than the stack's */
  add (entry: NewEntry, options?: AddOptions): Promise<ShownEntry>
  /**
   * Writes what differs. With `base`, the revision that the new text was made from, what was written since then survives. Without it a new body is refused
   * when another device or agent wrote the text last, unless `overwrite` insists.
   *
   * @throws ElderError `STALE_EDIT` with `data: {entry, revision, difference}`, `NO_SUCH_REVISION`, `NO_SUCH_ENTRY`, `ENTRY_REMOVED`, `IMMUTABLE`
   */
  edit (id: string, patch: EntryPatch, options?: { agent?: string } & EditOptions): Promise<ShownEntry>
  /** Leaves the lists; `undo` brings it back. */
  remove (id: string, options?: { undo?: boolean, agent?: string }): Promise<void>
  /** Full id or a unique prefix of at least 4 characters; `at`: as it was at that revision. @throws ElderError `NO_SUCH_ENTRY`, `AMBIGUOUS`, `NO_SUCH_REVISION` */
  get (id: string, options?: { at?: string }): Promise<ShownEntry>
  list (filter?: { kind?: string, tag?: string }): Promise<ShownEntry[]>
  digest (): Promise<StackDigest>
  /** Who wrote what, newest first; 50 unless `limit` says otherwise. `entry`: an id or prefix; then with what each change did. */
  log (options?: { entry?: string, limit?: number }): Promise<EntryChange[]>
  changes (options: { signal: AbortSignal }): AsyncIterable<StackChange>
}

/** `scope`: `device` for a folder, which no other device hears of; `mesh` for what every device mirrors to. */
export interface RemoteInfo { stack: string, url: string, scope: 'mesh' | 'device', addedBy: Author, state: MirrorStatus['state'], lastPush: string | null, message: string | null }

export interface RestoredStack { stack: string, name: string, digest: string, feeds: string, entries: number, archived: boolean,
  /** What the mirror gave and the stack cannot show: it lacks what comes before. Or why it did not come back: then it has no digest. */
  problems: Problem[] }

/** `all`: archived stacks too, where none is named. */
export interface SearchFilter { stack?: string, all?: boolean, kind?: string, tag?: string, limit?: number }

export interface SearchHit { stack: string, score: number, snippet: string, entry: Outline & { supersededBy: string | null } }

/** What a stack is, and who vouches for it. Empty `problems`: everything that could be asked agrees. */
export interface StackProof {
  stack: string
  /** Computed from the disk alone, and what this node shows. */
  digest: string
  feeds: string
  entries: number
  records: number
  signatures: number
  writers: Array<{ device: DeviceRef, feed: string, records: number }>
  /** `same`: it holds exactly this. `busy`: records came in during every exchange. `silent`: connected, but it did not answer. */
  devices: Array<DeviceRef & { state: 'self' | 'same' | 'differs' | 'busy' | 'silent' | 'offline' }>
  /** Read from the remote now. `lacks`: records that were not pushed yet. */
  remotes: Array<{ url: string, state: 'same' | 'behind' | 'damaged' | 'unreachable', commit: string | null, lacks: number | null, message: string | null }>
  /** Records of evicted devices beyond their cuts, on this disk: `evict <device> --keep` brings them back. */
  beyond: Array<{ device: DeviceRef, records: number }>
  problems: Problem[]
}
