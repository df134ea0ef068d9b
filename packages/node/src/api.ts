/**
 * What a node does for its owner: the one interface that the library exports, the control socket speaks and the CLI prints.
 * All shapes are plain JSON (the streams are async iterables of plain JSON), and follow 1:1 what `--json` prints.
 */
import type { ElderError, Role } from '@elder-node/protocol'
import type { BuildEvent, BuildExplanation, BuildRequest, BuildStatus, RunningBuild } from './api/build.ts'
import type { Departure, DeviceRef, DeviceStatus, Diagnosis, Evictee, LeaveOptions, PingEvent, PingOptions, Problem } from './api/device.ts'
import type { OpenStack, Place, RemoteInfo, RestoredStack, SearchFilter, SearchHit, StackProof, StackStatus } from './api/stack.ts'

export type { Role } from '@elder-node/protocol'
export type * from './api/device.ts'
export type * from './api/build.ts'
export type * from './api/stack.ts'

/** The mesh as this device sees it. */
export interface Status {
  mesh: { id: string, name: string }
  /** `reachable`: devices on other networks can dial this one; unknown until one has tried. `relays`: the members through which they reach it otherwise. */
  self: DeviceRef & { addresses: string[], dir: string, pid: number, version: string, engineNote: string, http: string | null, reachable: 'public' | 'private' | 'unknown', relays: DeviceRef[] }
  devices: DeviceStatus[]
  builds: BuildStatus[]
  stacks: StackStatus[]
  problems: Problem[]
}

export interface ElderNode {
  readonly device: DeviceRef
  readonly mesh: { id: string, name: string }
  addresses (): string[]
  status (): Promise<Status>
  devices (): Promise<DeviceStatus[]>
  invite (options?: { role?: Role, expiresMs?: number }): Promise<{ ticket: string, expires: string, role: Role, command: string }>
  /**
   * Shuts a device out for ever. `undo`: what it wrote is taken back too, also of one that is gone already.
   * `keep`: of one that is gone, what it wrote beyond its cut counts again. @throws ElderError as {@link evictee}
   */
  evict (device: string, options?: { undo?: boolean, keep?: boolean }): Promise<DeviceRef>
  /**
   * Whom {@link evict} would hit. @throws ElderError `NOT_ADMIN`, `NO_SUCH_DEVICE`, `AMBIGUOUS`, `SELF`; with `keep`
   * `NOT_EVICTED`, `TAKEN_BACK`, `NOTHING_ASIDE`
   */
  evictee (device: string, options?: { undo?: boolean, keep?: boolean }): Promise<Evictee>
  diagnosis (): Promise<Diagnosis>
  /** Makes a member an admin. @throws ElderError `NOT_ADMIN`, `NO_SUCH_DEVICE`, `AMBIGUOUS`, `SELF` */
  promote (device: string): Promise<DeviceRef>
  /**
   * Round trips to a device, each with its path. @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS`, `SELF`; `UNREACHABLE` when it cannot be
   * dialled at all, with `data: {lastSeen, tried: [{address, error}]}`
   */
  ping (device: string, options?: PingOptions): AsyncIterable<PingEvent>
  /**
   * This device leaves the mesh for ever: waits up to 10 s for others to hold what is only here, tells them, stops this node and removes its key and
   * all it held of the mesh. A new `join` of the directory is a new device.
   *
   * @throws ElderError `LAST_ADMIN`, `ONLY_COPY`, `NOBODY_TOLD`, each without `force` only: then nothing happened
   */
  leave (options?: LeaveOptions): Promise<Departure>
  build (request: BuildRequest, options?: { signal?: AbortSignal }): Promise<RunningBuild>
  builds: {
    list (): Promise<BuildStatus[]>
    /** Every event of the build so far, then live ones until it ends, unless `follow` is false. */
    events (id: string, options?: { signal?: AbortSignal, follow?: boolean }): Promise<AsyncIterable<BuildEvent>>
    cancel (id: string): Promise<void>
    why (id: string): Promise<BuildExplanation>
  }
  stacks: {
    /** `all`: archived and removed ones too. */
    list (options?: { all?: boolean }): Promise<StackStatus[]>
    /** @throws ElderError `NO_SUCH_STACK` unless `create` (the first write creates). */
    open (name: string): Promise<OpenStack>
    /** The stack of a git worktree: of its `origin`, unless `recorded` (its .stack/stack.json) names one. @throws ElderError `STACK_UNKNOWN` */
    place (worktree: { origin?: string, recorded?: string }): Promise<Place>
    /** Nobody writes to it any more, on any device, until it is undone; it stays where it is. @throws ElderError `NO_SUCH_STACK`, `FORBIDDEN` */
    archive (stack: string, options?: { undo?: boolean, agent?: string }): Promise<{ stack: string, archived: boolean }>
    /**
     * All that it holds now goes out of sight and off the mirrors, and after 30 days off the disks; until then it can be undone. What is written beyond it
     * shows it again. @throws ElderError `NO_SUCH_STACK`, `FORBIDDEN`
     */
    removeAll (stack: string, options?: { undo?: boolean, agent?: string }): Promise<{ stack: string, removed: boolean, entries: number }>
    addRemote (stack: string | '--all', url: string): Promise<RemoteInfo>
    remotes (): Promise<RemoteInfo[]>
    /** The copies that are there stay. @throws ElderError `NO_SUCH_REMOTE` */
    removeRemote (stack: string | '--all', url: string): Promise<{ stack: string, url: string }>
    /** Keywords over titles, tags and bodies of one stack or all; best first, 20 unless `limit` (at most 200) says otherwise. */
    search (query: string, filter?: SearchFilter): Promise<SearchHit[]>
    /** Reads every feed from the disk again, asks the devices that are online, reads the remotes. */
    verify (stack: string, options?: { signal?: AbortSignal }): Promise<StackProof>
    /** Pulls and pushes now. */
    sync (stack?: string): Promise<Array<{ stack: string, url: string, ok: boolean, commit: string | null, message: string | null }>>
    restore (url: string): Promise<RestoredStack[]>
  }
  stop (): Promise<void>
}

/** A node that runs. Besides what {@link ElderNode} does: how it came to its mesh, and how it ends. */
export interface RunningNode extends ElderNode {
  /** `founded` a new mesh, `admitted` with a ticket, `returned` as the member it was. */
  readonly joined: 'founded' | 'admitted' | 'returned'
  /** Given once, when the mesh was founded: keep it off every device. It proves the founder after a total loss. */
  readonly recovery?: string
  /** A build runs here as the user of this node, and could speak to its control socket: invite, promote, evict and leave are refused there. */
  readonly exposed: () => boolean
  /** Resolves with `EVICTED` when this device learns that it is no member any more; then stop it. */
  readonly evicted: Promise<ElderError>
  /** Resolves once this device has left the mesh, stopped, and kept nothing of it. */
  readonly left: Promise<Departure>
  /** Where /healthz, /readyz and /metrics are answered, if anywhere. */
  readonly http?: string
  /** `unclean`: the next start counts this life as a crash. */
  stop (options?: { unclean?: boolean }): Promise<void>
}
