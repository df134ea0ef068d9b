/**
 * What a node does for its owner: the one interface that the library exports, the control socket speaks and the CLI prints.
 * All shapes are plain JSON (the streams are async iterables of plain JSON), and follow 1:1 what `--json` prints.
 */
import type { Author, Entry, EntryPatch, HistoryItem, NewEntry, Outline, StackChange, StackDigest } from '@elder-node/crdt-stack'
import type { ElderError, Role } from '@elder-node/protocol'

export type { Role } from '@elder-node/protocol'

export interface DeviceRef { id: string, name: string }

export interface DeviceStatus {
  id: string
  name: string
  role: Role
  /** Admitted, connected, fresh advert. This device itself is always online. */
  online: boolean
  rttMs: number | null
  path: 'self' | 'direct' | 'relay' | 'none'
  /** The member that passes the connection on, when the path is `relay`. */
  relay?: DeviceRef
  cpu: { cores: number, load: number } | null
  memory: { totalBytes: number, freeBytes: number } | null
  disk: { totalBytes: number, freeBytes: number } | null
  slots: { total: number, free: number }
  engine: string | null
  platform: string | null
  version: string | null
  /** ISO 8601; null when never seen. */
  lastSeen: string | null
  /** It has not answered for a moment, and will be offline unless it does soon. Such a device is not elected. */
  suspect?: true
}

export interface Problem { code: string, message: string, fix: string }
export interface MirrorStatus { url: string, state: 'ok' | 'behind' | 'failing' | 'never', lastPush: string | null, message: string | null, /** Since when something of the stack is not on the remote, as far as this device tried; left out while all is. */ behindSince?: string }
export interface StackStatus { name: string, entries: number, copies: number, mirrors: MirrorStatus[], archived: boolean }

export type BuildState = 'queued' | 'electing' | 'sending' | 'running' | 'returning' | 'done' | 'failed' | 'cancelled'
export interface BuildStatus {
  id: string
  state: BuildState
  builder: DeviceRef | null
  attempt: number
  /** ISO 8601. */
  startedAt: string
  command: string[]
  exitCode: number | null
  requester: DeviceRef
}

export interface Status {
  mesh: { id: string, name: string }
  /** `reachable`: devices on other networks can dial this one; unknown until one has tried. `relays`: the members through which they reach it otherwise. */
  self: DeviceRef & { addresses: string[], dir: string, pid: number, version: string, engineNote: string, http: string | null, reachable: 'public' | 'private' | 'unknown', relays: DeviceRef[] }
  devices: DeviceStatus[]
  builds: BuildStatus[]
  stacks: StackStatus[]
  problems: Problem[]
}

export interface BuildRequest {
  /** Folder to build; its whole worktree is sent. @default '.' */
  source?: string
  /** Program and arguments. @default `build.command` of the project's `.elder.json` */
  command?: string[]
  /** Runs first in the tree, by a shell, with network; what it adds is kept by the builder for later builds. @default `build.prepare` of `.elder.json` */
  prepare?: string
  /** Globs relative to the tree's root. @default `build.outputs` of `.elder.json` */
  outputs?: string[]
  /** Where outputs are written. @default the source tree's root */
  to?: string
  /** Device name or id prefix. */
  on?: string
  /** Names of environment variables of the caller to pass, with their values. */
  env?: Record<string, string>
  /** To run in, on builders whose engine runs images. @default `build.image` of `.elder.json`, else that of the devcontainer, else the builder's own */
  image?: string
  /** No network for the command; `prepare` has it. Builders that cannot keep this are refused. @default false */
  sealed?: boolean
  /** Never two attempts at once: a builder that is lost is waited for until its lease has surely ended (22 s). Never explores. @default false */
  exclusive?: boolean
  /** How long to wait for a builder while nobody can be asked, milliseconds: until `on` is online, or somebody has slots. @default 0 */
  waitMs?: number
  memoryBytes?: number
  cpus?: number
  /** From now until the end, waiting included, milliseconds. */
  deadlineMs?: number
  local?: 'auto' | 'never' | 'only'
  strictOutputs?: boolean
  /** Elect and explain only: one `elected` event, nothing runs. */
  dryRun?: boolean
  agent?: string
  /** W3C trace context of the caller, which this build goes on with; anything else than 55 valid characters begins a new trace. */
  traceparent?: string
}

/** One row of the explanation: predicted seconds by term, or why it was refused. */
export interface CandidateExplanation {
  device: DeviceRef
  rttMs: number | null
  /** Seconds by name: rtt, transfer, queue, boot, run, history. Empty when refused. */
  terms: Record<string, number>
  score: number | null
  /** The run term is the default, not a measurement: this command has not run in this project before. */
  guessed?: boolean
  refused: string | null
}

/** Why a build ran where it did. */
export interface BuildExplanation {
  build: string
  /** Of the last election. */
  candidates: CandidateExplanation[]
  why: string
  /** `outcome`: `running`, `done`, or the code of what went wrong, with the reason behind it. */
  attempts: Array<{ attempt: number, builder: DeviceRef, outcome: string }>
  /** How it ended, once it has. */
  ended?: { state: 'done' | 'failed' | 'cancelled', exitCode: number, reason: 'memory' | 'pids' | 'disk' | 'deadline' | null, error: BuildFailure | null }
}

/** What ended a build that its command did not end: of the mesh, a limit, the deadline. */
export interface BuildFailure { code: string, message: string, fix: string }

export interface OutputInfo { path: string, bytes: number, sha256: string }

export type BuildEvent =
  /** First of all, with the trace that log lines of every device name by its id; again, with `why`, when the build waits for a slot. */
  | { event: 'queued', build: string, why?: string, traceparent?: string }
  | { event: 'elected', build: string, builder: DeviceRef, attempt: number, why: string, candidates: CandidateExplanation[] }
  /** An attempt begins on its builder; `message` says what network the build has, and why. */
  | { event: 'started', build: string, builder: DeviceRef, attempt: number, engine: string, network: 'full' | 'none', sealed: boolean, image: string | null, message: string }
  /** `bytes`: of source, sent so far; `totalBytes`: about how many there are. */
  | { event: 'progress', build: string, phase: 'sending' | 'preparing' | 'running' | 'returning', message: string, bytes?: number, totalBytes?: number }
  /** `data` is UTF-8 text. */
  | { event: 'log', build: string, stream: 'stdout' | 'stderr', data: string }
  | { event: 'moved', build: string, from: DeviceRef, attempt: number, why: string }
  | { event: 'warning', build: string, message: string }
  | { event: 'result', build: string, state: 'done' | 'failed' | 'cancelled', exitCode: number, builder: DeviceRef | null, attempt: number, sealed?: boolean, timings: Record<string, number>, outputs: OutputInfo[], error: BuildFailure | null, reason?: 'memory' | 'pids' | 'disk' | 'deadline', traceparent?: string }

export interface RunningBuild {
  id: string
  /** Ends with `result`. Every consumer sees all events from the first. */
  events: AsyncIterable<BuildEvent>
  /** Never rejects for a failing command: look at `exitCode` (125 when the mesh could not run it, 124 deadline, 130 cancelled). */
  result: Promise<Extract<BuildEvent, { event: 'result' }>>
  cancel (): Promise<void>
}

export interface OpenStack {
  readonly name: string
  add (entry: NewEntry, options?: { agent?: string }): Promise<Entry>
  edit (id: string, patch: EntryPatch, options?: { agent?: string }): Promise<Entry>
  remove (id: string, options?: { agent?: string }): Promise<void>
  /** Full id or a unique prefix of at least 4 characters. @throws ElderError `NO_SUCH_ENTRY`, `AMBIGUOUS` */
  get (id: string): Promise<Entry>
  list (filter?: { kind?: string, tag?: string }): Promise<Entry[]>
  digest (): Promise<StackDigest>
  /** Who wrote what, newest first; 50 unless `limit` says otherwise. `entry`: an id or prefix. */
  log (options?: { entry?: string, limit?: number }): Promise<HistoryItem[]>
  changes (options: { signal: AbortSignal }): AsyncIterable<StackChange>
}

export interface RemoteInfo { stack: string, url: string, addedBy: Author, state: MirrorStatus['state'], lastPush: string | null, message: string | null }
export interface RestoredStack { stack: string, name: string, digest: string, feeds: string, entries: number, archived: boolean }

export interface SearchFilter { stack?: string, kind?: string, tag?: string, limit?: number }
export interface SearchHit { stack: string, score: number, snippet: string, entry: Outline }

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
  problems: Problem[]
}

export interface PingOptions {
  /** Round trips. @default 5 */
  count?: number
  /** From the beginning of one to that of the next, milliseconds. @default 1000 */
  intervalMs?: number
  signal?: AbortSignal
}

export type PingEvent =
  /** `relay`: the member that passes the connection on, when there is no direct one. `address`: multiaddr of the connection. */
  | { event: 'pong', device: DeviceRef, seq: number, rttMs: number, path: 'direct' | 'relay', relay: DeviceRef | null, address: string }
  | { event: 'lost', device: DeviceRef, seq: number, code: 'UNREACHABLE' | 'TIMEOUT', message: string }

export interface LeaveOptions {
  /** Go also as the last admin, with stacks that are only here, or with nobody told. @default false */
  force?: boolean
  signal?: AbortSignal
}

/** `told`: members that know of it already. `lost`: stacks that were only here. */
export interface Departure { device: DeviceRef, mesh: { id: string, name: string }, told: DeviceRef[], lost: string[] }

/** What only the running node sees; `doctor` judges it. */
export interface Diagnosis {
  /** `found`: devices that announced themselves on the local network since the start. */
  mdns: { on: boolean, found: DeviceRef[] }
  connections: Array<{ device: DeviceRef, path: 'direct' | 'relay', address: string }>
  /** How far the clock of each connected device was ahead of this one at its last hello, milliseconds; good to a round trip. */
  clocks: Array<{ device: DeviceRef, aheadMs: number }>
}

export interface ElderNode {
  readonly device: DeviceRef
  readonly mesh: { id: string, name: string }
  addresses (): string[]
  status (): Promise<Status>
  devices (): Promise<DeviceStatus[]>
  invite (options?: { role?: Role, expiresMs?: number }): Promise<{ ticket: string, expires: string, role: Role, command: string }>
  evict (device: string, options?: { undo?: boolean }): Promise<DeviceRef>
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
    list (): Promise<StackStatus[]>
    /** @throws ElderError `NO_SUCH_STACK` unless `create` (the first write creates). */
    open (name: string): Promise<OpenStack>
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
  /** Resolves with `EVICTED` when this device learns that it is no member any more; then stop it. */
  readonly evicted: Promise<ElderError>
  /** Resolves once this device has left the mesh, stopped, and kept nothing of it. */
  readonly left: Promise<Departure>
  /** Where /healthz, /readyz and /metrics are answered, if anywhere. */
  readonly http?: string
  /** `unclean`: the next start counts this life as a crash. */
  stop (options?: { unclean?: boolean }): Promise<void>
}
