/** An ElderNode in memory: real streams, real errors, no network. For the tests of the doors. */
import { createHash } from 'node:crypto'
import { ElderError, originOf, stackNamesOf } from '@elder-node/protocol'
import type { DeviceId, EntryId, FeedId } from '@elder-node/protocol'
import type { EntryPatch, NewEntry } from '@elder-node/crdt-stack'
import type { BuildEvent, BuildRequest, BuildStatus, CandidateExplanation, Departure, DeviceStatus, Diagnosis, ElderNode, Evictee, LeaveOptions, OpenStack, PingEvent, PingOptions, RemoteInfo, RestoredStack, Role, RunningBuild, ShownEntry, StackProof, Status } from '../../src/api.ts'

export const SELF = { id: 'a'.repeat(52), name: 'laptop' }
export const MINI = { id: 'b'.repeat(52), name: 'mini' }
const NOW = '2026-11-21T10:00:00.000Z'

export function device (ref: { id: string, name: string }, over: Partial<DeviceStatus> = {}): DeviceStatus {
  return {
    ...ref, role: 'builder', online: true, rttMs: ref === SELF ? 0 : 0.62, path: ref === SELF ? 'self' : 'direct', cpu: { cores: 4, load: 0.25 },
    memory: { totalBytes: 8e9, freeBytes: 4e9 }, disk: { totalBytes: 1e11, freeBytes: 8e10 }, slots: { total: 2, free: 1 }, engine: 'process',
    platform: 'linux/x64', version: '0.1.0', lastSeen: NOW, ...over,
  }
}

export const CANDIDATES: CandidateExplanation[] = [
  { device: MINI, rttMs: 0.62, terms: { rtt: 0.002, transfer: 0.4, run: 30 }, score: 30.4, refused: null },
  { device: SELF, rttMs: 0, terms: {}, score: null, refused: 'no slots' },
]

/** Plays a build: what its events are is up to the test; a cancel ends it with 130. */
export type Script = (request: BuildRequest, cancelled: AbortSignal) => AsyncGenerator<BuildEvent>

export const succeed: Script = async function * (request) {
  const build = 'buildid123456'
  yield { event: 'elected', build, builder: MINI, attempt: 1, why: 'nearest of a tie', candidates: CANDIDATES }
  if (request.dryRun === true) return
  yield { event: 'log', build, stream: 'stdout', data: 'compiled\n' }
  yield { event: 'log', build, stream: 'stderr', data: 'a note\n' }
  yield { event: 'result', build, state: 'done', exitCode: request.command?.[0] === 'fail' ? 7 : 0, builder: MINI, attempt: 1, timings: { runMs: 1234 }, outputs: [{ path: 'dist/a.js', bytes: 3, sha256: 'ab' }], error: null }
}

export const untilCancelled: Script = async function * (_request, cancelled) {
  const build = 'buildid123456'
  yield { event: 'elected', build, builder: MINI, attempt: 1, why: 'only candidate', candidates: CANDIDATES }
  yield { event: 'log', build, stream: 'stdout', data: 'tick\n' }
  await new Promise<void>((resolve) => { if (cancelled.aborted) resolve(); else cancelled.addEventListener('abort', () => resolve()) })
  yield { event: 'result', build, state: 'cancelled', exitCode: 130, builder: MINI, attempt: 1, timings: {}, outputs: [], error: null }
}

export class FakeNode implements ElderNode {
  restored: RestoredStack = { stack: 's', name: 'my-repo', digest: 'dig', feeds: 'fee', entries: 1, archived: true, problems: [] }
  readonly device = SELF
  readonly mesh = { id: 'm'.repeat(26), name: 'bramble' }
  joined: 'founded' | 'admitted' | 'returned' = 'founded'
  recovery = 'elder-recovery1abc'
  evicted: Promise<ElderError> = new Promise(() => {})
  script: Script = succeed
  /** Requests of builds, as they arrived. */
  readonly requests: BuildRequest[] = []
  problems: Status['problems'] = []
  cancels = 0
  ticket = 'elder1ticket'
  proof: Omit<StackProof, 'stack' | 'digest' | 'feeds'> = { entries: 1, records: 2, signatures: 2, writers: [], devices: [{ ...SELF, state: 'self' }, { ...MINI, state: 'same' }], remotes: [], beyond: [], problems: [] }
  stopped = false
  /** Whether the last reader of events wanted what comes. */
  followed: boolean | undefined
  readonly #stacks = new Map<string, ShownEntry[]>()
  readonly #remotes: RemoteInfo[] = []
  /** The builds that `builds.list` knows. */
  get built (): BuildStatus[] { return this.#built }
  readonly #built: BuildStatus[] = [{ id: 'buildid123456', state: 'done', builder: MINI, attempt: 1, startedAt: NOW, command: ['npm', 'test'], exitCode: 0, requester: SELF }]

  addresses (): string[] { return ['/ip4/127.0.0.1/tcp/4410/p2p/x'] }
  async devices (): Promise<DeviceStatus[]> { return [device(SELF), device(MINI)] }

  async status (): Promise<Status> {
    return {
      mesh: this.mesh, self: { ...SELF, addresses: this.addresses(), dir: '/d', pid: 1, version: '0.1.0', engineNote: 'process: no isolation', http: null, reachable: 'unknown', relays: [] },
      devices: [...await this.devices(), device({ id: 'c'.repeat(52), name: 'cabin' }, { online: false, path: 'none', cpu: null, memory: null, disk: null, slots: { total: 0, free: 0 } })],
      builds: await this.builds.list(), stacks: await this.stacks.list(), problems: this.problems,
    }
  }

  async invite ({ role = 'builder', expiresMs = 900_000 }: { role?: Role, expiresMs?: number } = {}): ReturnType<ElderNode['invite']> {
    return { ticket: this.ticket, expires: new Date(Date.parse(NOW) + expiresMs).toISOString(), role, command: 'elder-node join --ticket-file -' }
  }

  exposed: () => boolean = () => false
  diagnosed: Diagnosis = { mdns: { on: true, found: [] }, connections: [], clocks: [], git: true }
  async diagnosis (): Promise<Diagnosis> { return this.diagnosed }

  async promote (name: string): Promise<{ id: string, name: string }> { return await this.evict(name) }

  /** Round trips in milliseconds; null for one that is lost. */
  roundTrips: Array<number | null> = [0.5, 0.75]
  relayed = false
  departed = Promise.withResolvers<Departure>()
  readonly left: Promise<Departure> = this.departed.promise

  async * ping (name: string, { count = 5, signal }: PingOptions = {}): AsyncGenerator<PingEvent> {
    await this.evict(name)
    for (let seq = 1; seq <= count; seq++) {
      if (signal?.aborted === true) return
      const rttMs = this.roundTrips[(seq - 1) % this.roundTrips.length] ?? null
      if (rttMs === null) yield { event: 'lost', device: MINI, seq, code: 'TIMEOUT', message: 'no answer' }
      else yield { event: 'pong', device: MINI, seq, rttMs, path: this.relayed ? 'relay' : 'direct', relay: this.relayed ? SELF : null, address: '/ip4/10.0.0.2/tcp/4707/p2p/y' }
    }
  }

  /** What stands against leaving. */
  obstacle: ElderError | undefined
  async leave ({ force = false }: LeaveOptions = {}): Promise<Departure> {
    if (this.obstacle !== undefined && !force) throw this.obstacle
    const departure = { device: SELF, mesh: this.mesh, told: [MINI], lost: force ? ['notes'] : [] }
    this.departed.resolve(departure)
    return departure
  }

  async evictee (name: string): Promise<Evictee> { return { ...await this.evict(name), role: 'builder', lastSeen: NOW, remotes: [] } }

  async evict (name: string): Promise<{ id: string, name: string }> {
    if (name !== 'mini' && name !== MINI.id) throw new ElderError('NO_SUCH_DEVICE', `no device "${name}"`, 'elder-node devices')
    return MINI
  }

  async build (request: BuildRequest): Promise<RunningBuild> {
    this.requests.push(request)
    if (request.command === undefined) throw new ElderError('USAGE', 'the command to run is missing', 'elder-node build . -- npm test')
    if (request.on === 'nobody') throw new ElderError('NO_CANDIDATE', 'no device can build this', 'elder-node status')
    const cancelled = new AbortController()
    const cancel = async (): Promise<void> => { this.cancels++; cancelled.abort() }
    this.#cancel = cancel
    return { id: 'buildid123456', events: this.script(request, cancelled.signal), result: new Promise(() => {}), cancel }
  }

  #cancel: () => Promise<void> = async () => {}

  readonly builds: ElderNode['builds'] = {
    list: async () => this.#built,
    events: async (id, options) => { this.#known(id); this.followed = options?.follow; return succeed({ command: ['npm'] }, new AbortController().signal) },
    cancel: async (id) => {
      this.#known(id)
      for (const build of this.#built) if (build.state === 'running') build.state = 'cancelled'
      await this.#cancel()
    },
    why: async (id) => { this.#known(id); return { build: 'buildid123456', candidates: CANDIDATES, why: 'nearest of a tie', attempts: [{ attempt: 1, builder: MINI, outcome: 'done' }] } },
  }

  #known (id: string): void {
    if (!'buildid123456'.startsWith(id)) throw new ElderError('NO_SUCH_BUILD', `no build "${id}"`, 'elder-node builds')
  }

  /** Plain lists of entries; a test that is about memory puts real stacks here (memory-desk.ts). */
  stacks: ElderNode['stacks'] = {
    list: async () => [...this.#stacks].map(([name, entries]) => ({ name, entries: entries.length, copies: 2, mirrors: [], archived: false })),
    open: async (name) => this.#open(name),
    place: async ({ origin, recorded }) => {
      const stack = recorded ?? stackNamesOf(originOf(origin ?? '') ?? '')[0]
      if (stack === undefined) throw new ElderError('STACK_UNKNOWN', 'no name', 'name it')
      return { stack, origin: null, origins: [], bound: false, own: null, passed: null }
    },
    archive: async (stack, { undo = false } = {}) => { await (await this.#open(stack)).list(); return { stack, archived: !undo } },
    removeAll: async (stack, { undo = false } = {}) => ({ stack, removed: !undo, entries: (await (await this.#open(stack)).list()).length }),
    addRemote: async (stack, url) => {
      const remote: RemoteInfo = { stack, url, scope: 'mesh', addedBy: { device: SELF.id as DeviceId }, state: 'never', lastPush: null, message: null }
      this.#remotes.push(remote)
      return remote
    },
    remotes: async () => this.#remotes,
    removeRemote: async (stack, url) => {
      const at = this.#remotes.findIndex((one) => one.stack === stack && one.url === url)
      if (at < 0) throw new ElderError('NO_SUCH_REMOTE', `${stack} has no remote ${url}.`, 'See elder-node stack remote list.')
      this.#remotes.splice(at, 1)
      return { stack, url }
    },
    search: async (query, { stack, kind } = {}) => [...this.#stacks].filter(([name]) => stack === undefined || name === stack)
      .flatMap(([name, entries]) => entries.filter((entry) => entry.title.includes(query) && (kind === undefined || entry.kind === kind)).map(({ body, ...entry }) => ({ stack: name, score: 1.5, snippet: body, entry }))),
    verify: async (stack) => ({ ...await (await this.#open(stack)).digest(), ...this.proof }),
    sync: async () => this.#remotes.map(({ stack, url }) => ({ stack, url, ok: !url.includes('broken'), commit: 'c'.repeat(40), message: url.includes('broken') ? 'no route' : null })),
    restore: async () => [this.restored],
  }

  #open (name: string): OpenStack {
    const entries = this.#stacks.get(name) ?? []
    const known = (): void => { if (!this.#stacks.has(name)) throw new ElderError('NO_SUCH_STACK', `no stack "${name}"`, `elder-node stack add ${name} --kind note --title "…"`) }
    const get = async (id: string): Promise<ShownEntry> => {
      known()
      const entry = entries.find((one) => one.id.startsWith(id))
      if (entry === undefined) throw new ElderError('NO_SUCH_ENTRY', `no entry "${id}"`, `elder-node stack show ${name}`)
      return entry
    }
    return {
      name, get,
      add: async (made: NewEntry, options = {}) => {
        const { agent } = options
        const entry: ShownEntry = {
          id: `01K9${String(entries.length).padStart(22, '0')}` as EntryId, kind: made.kind, title: made.title, body: made.body ?? '', tags: made.tags ?? [],
          author: { device: SELF.id as DeviceId, ...(agent === undefined ? {} : { agent }) }, createdAt: NOW, updatedAt: NOW, revision: `revision${entries.length}`,
          supersedes: made.supersedes ?? null, supersededBy: null, removed: false, rivals: {}, extra: {},
        }
        entries.push(entry)
        this.#stacks.set(name, entries)
        return entry
      },
      edit: async (id: string, patch: EntryPatch) => Object.assign(await get(id), patch),
      remove: async (id, { undo = false } = {}) => { (await get(id)).removed = !undo },
      list: async ({ kind } = {}) => { known(); return entries.filter((entry) => kind === undefined || entry.kind === kind) },
      log: async ({ limit = 50 } = {}) => {
        known()
        return entries.toReversed().slice(0, limit).map(({ author, id, kind, title }, n) => ({ at: NOW, author, change: 'new', field: null, entry: { id, kind, title }, revision: `revision${n}`, feed: `${author.device}-00` as FeedId, seq: entries.length - n }))
      },
      digest: async () => { known(); return { stack: name, digest: createHash('sha256').update(JSON.stringify(entries)).digest('hex'), feeds: 'feeds' } },
      changes: async function * () {},
    }
  }

  async stop (): Promise<void> { this.stopped = true }
}
