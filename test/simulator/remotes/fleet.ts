/**
 * Devices with their git remotes: the mirror service and its loop per remote as they ship, over simulated time and
 * remotes that refuse,
 * hang, flood and lose what they held. What must be so is checked against the remotes, which know what they hold and
 * who asked them.
 */
import { createHash } from 'node:crypto'
import { mirroredStack, type MirroredStack } from '@elder-node/crdt-stack/mirror'
import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
import { deviceId, stackId, type Batch, type DeviceId, type MeshId } from '@elder-node/protocol'
import type { MirrorService, MirrorSource } from '../../../packages/node/src/services/mirror.ts'
import { MemoryFiles } from '../../../packages/node/test/support/memory-files.ts'
import { cheapCrypto, cheapSigner } from '../../../packages/protocol/test/support/cheap-crypto.ts'
import { load, queryOf, type Edit } from '../mutant.ts'
import { seededRandom } from '../random.ts'
import { EPOCH_MS, VirtualTime, type Life } from '../virtual/time.ts'
import type { FleetStep } from './plan.ts'
import { Site, SiteGit } from './site.ts'

export interface FleetPlan {
  seed: number
  steps: readonly FleetStep[]
  minutes: number
  calm?: boolean
  /** A mutant of the loop of one remote: it ends at the first thing that it does wrong. */
  edits?: readonly Edit[]
}

export interface FleetOutcome {
  violations: string[]
  hash: string
  events: number
  notes: number, passes: number, pushes: number, crashes: number
}

interface Device {
  name: string
  id: DeviceId
  files: MemoryFiles
  stacks: Map<string, Stack>
  /** Notes that are here, by id: since when. */
  notes: Map<string, { stack: string, sinceMs: number }>
  life: Life | undefined
  service: MirrorService | undefined
  changed: Set<(key: string) => void>
  offlineUntilMs: number
  /** It runs since then, neither offline nor stopped. */
  ableMs: number
  /** A person waits for a sync. */
  asked: boolean
}

/** What one life asks one remote. */
interface Traffic { calls: number, fetchesMs: number[], endedMs: number, rejected: number }

const STACKS = ['notes', 'plans']
const DEVICES = 3
const MESH = 'a'.repeat(26) as MeshId
const LOOK_MS = 30_000
const REST_MS = 1_800_000
/** The elected device pushes after 5 minutes at most, another one after 2½, and a pull comes each minute. */
const LATE_MS = 400_000
/** A pass that hangs ends after so long. */
const PASS_MS = 300_000
const PAUSE_MS = 29_000
/** `failing` after 10 minutes, said at the end of a pass. */
const FAILING_MS = 1_100_000
const CALLED_MS = 400_000
const STOP_MS = 12_000
const WINDOW_MS = 600_000
/** Of a remote that does not answer: one each minute. */
const FETCHES_ILL_MAX = 13
const WISH_MS = 660_000
const SERVICE = 'packages/node/src/services/mirror.ts'
const silent = (): void => {}
const quiet = { debug: silent, info: silent, warn: silent, error: silent }

export class Fleet {
  readonly time = new VirtualTime()
  readonly #plan: FleetPlan
  readonly #random: () => number
  readonly #sites = [new Site('https://git.example.org/one.git'), new Site('https://git.example.org/two.git')]
  readonly #devices: Device[] = []
  readonly #traffic = new Map<Life, Map<Site, Traffic>>()
  readonly #stopped = new Set<Life>()
  readonly #violations = new Set<string>()
  readonly #trace = createHash('sha256')
  #Service: typeof MirrorService | undefined
  #apartUntilMs = 0
  #crashes = 0
  #passes = 0

  constructor (plan: FleetPlan) {
    this.#plan = plan
    this.#random = seededRandom(plan.seed)
  }

  async run (): Promise<FleetOutcome> {
    const { edits, steps, minutes } = this.#plan
    const mutant: Edit[] = edits === undefined ? [] : [["'./mirror/remote-loop.ts'", `'./mirror/remote-loop.ts${queryOf(edits)}'`]]
    this.#Service = (await load<{ MirrorService: typeof MirrorService }>(SERVICE, mutant)).MirrorService
    this.time.install()
    try {
      for (let i = 0; i < DEVICES; i++) this.#boot(await this.#newDevice(`d${i}`))
      for (const step of steps) this.time.at(step.atMs, () => { this.#step(step) })
      await this.#live(minutes * 60_000)
    } finally {
      this.time.uninstall()
    }
    return {
      violations: [...this.#violations], hash: this.#trace.digest('hex'), events: this.time.events, crashes: this.#crashes, passes: this.#passes,
      notes: this.#devices[0]?.notes.size ?? 0, pushes: this.#sites.reduce((sum, { remote }) => sum + remote.pushes, 0),
    }
  }

  async #live (endMs: number): Promise<void> {
    for (let ms = LOOK_MS; ms <= endMs + REST_MS; ms += LOOK_MS) {
      if (ms > endMs) this.#mend()
      await this.time.run(ms)
      this.#look()
      if (ms > endMs && this.#atRest().length === 0) return
      if (this.#plan.edits !== undefined && this.#violations.size > 0) return
    }
    for (const what of this.#atRest()) this.#violate(what)
  }

  // --- devices

  async #newDevice (name: string): Promise<Device> {
    const signer = cheapSigner(name)
    const device: Device = {
      name, id: deviceId(signer.publicKey), files: new MemoryFiles(), stacks: new Map(), notes: new Map(), life: undefined, service: undefined,
      changed: new Set(), offlineUntilMs: 0, ableMs: 0, asked: false,
    }
    for (const stack of STACKS) {
      const opened = await Stack.open({
        store: new MemoryFeedStore(), crypto: cheapCrypto, signer, wallMs: () => EPOCH_MS + this.time.now,
        random: n => Uint8Array.from({ length: n }, () => Math.floor(256 * this.#random())),
      }, { id: stackId(stack, cheapCrypto), name: stack })
      opened.onAppend(batch => { this.#gossip(device, stack, batch) })
      device.stacks.set(stack, opened)
    }
    this.#devices.push(device)
    return device
  }

  #boot (device: Device): void {
    const life = this.time.spawn(device.name, { rate: 0.99 + 0.02 * this.#random() })
    device.life = life
    device.ableMs = Math.max(this.time.now, device.offlineUntilMs)
    device.changed = new Set()
    device.asked = false
    this.time.inside(life, () => {
      const service = new (this.#Service as typeof MirrorService)({
        source: this.#sourceOf(device), self: device.id, mesh: MESH, crypto: cheapCrypto, random: this.#random,
        files: device.files, clock: this.time.clockOf(life), log: quiet,
        livePeers: () => this.#isApart ? [] : this.#up().filter(other => other !== device).map(({ id }) => id),
        openGit: async url => this.#gitOf(device, life, this.#sites.find(site => site.url === url) as Site),
        membership: { records: () => [], receive: silent, mayFound: () => true, verify: records => ({ records, mayWrite: () => true }) },
      })
      device.service = service
      service.start()
    })
    this.#meet()
  }

  #sourceOf (device: Device): MirrorSource {
    const mirrored = (key: string, stack: Stack): MirroredStack => ({ ...mirroredStack(stack), receive: batches => this.#receive(device, key, batches) })
    return {
      stacks: () => [...device.stacks].filter(([, stack]) => !stack.isEmpty).map(([key, stack]) => mirrored(key, stack)),
      remotes: () => this.#sites.map(({ url }) => ({ stack: '--all', url })),
      adopt: async key => mirrored(key, device.stacks.get(key) as Stack),
      onChanged: listener => {
        device.changed.add(listener)
        return () => { device.changed.delete(listener) }
      },
      onRemotesChanged: () => silent,
    }
  }

  #gitOf (device: Device, life: Life, site: Site): SiteGit {
    const traffic: Traffic = { calls: 0, fetchesMs: [], endedMs: -Infinity, rejected: 0 }
    const bySite = this.#traffic.get(life) ?? new Map<Site, Traffic>()
    this.#traffic.set(life, bySite.set(site, traffic))
    return new SiteGit(site, {
      random: this.#random, isOffline: () => this.time.now < device.offlineUntilMs,
      begun: call => {
        if (this.#stopped.has(life)) this.#violate('a mirror that was stopped went on')
        if (++traffic.calls > 1) this.#violate('two passes over one remote at once')
        if (call === 'fetch') {
          this.#passes++
          // Overtaken, it tries again in the same pass; what a person waits for is not held up.
          const isAgain = traffic.rejected < site.remote.rejected || device.asked || device.service === undefined
          if (!isAgain && this.time.now - traffic.endedMs < PAUSE_MS) {
            this.#violate('a remote was asked again within 30 s')
          }
          traffic.fetchesMs.push(this.time.now)
        }
        traffic.rejected = site.remote.rejected
        return () => {
          traffic.calls--
          traffic.endedMs = this.time.now
        }
      },
    })
  }

  #up (): Device[] { return this.#devices.filter(({ life }) => life !== undefined) }

  get #isApart (): boolean { return this.time.now < this.#apartUntilMs }

  #gossip (from: Device, key: string, batch: Batch): void {
    this.#gained(from, key)
    for (const to of this.#isApart ? [] : this.#up()) {
      if (to !== from) this.time.at(this.time.now + 20 + 400 * this.#random(), () => { void this.#receive(to, key, [batch]) }, to.life)
    }
  }

  /** Whoever hears each other again exchanges everything. */
  #meet (): void {
    for (const from of this.#isApart ? [] : this.#up()) {
      for (const [key, stack] of from.stacks) {
        const batches = stack.windows().flatMap(want => [...stack.path(want)])
        for (const to of this.#up()) {
          if (to !== from && to.life !== undefined) this.time.within(to.life, () => { void this.#receive(to, key, batches) })
        }
      }
    }
  }

  async #receive (device: Device, key: string, batches: readonly Batch[]): ReturnType<MirroredStack['receive']> {
    const received = await (device.stacks.get(key) as Stack).receive(batches)
    if (received.accepted > 0) this.#gained(device, key)
    return received
  }

  #gained (device: Device, key: string): void {
    for (const { id } of device.stacks.get(key)?.entries() ?? []) {
      if (!device.notes.has(id)) device.notes.set(id, { stack: key, sinceMs: this.time.now })
    }
    for (const listener of device.changed) listener(key)
  }

  // --- what happens

  #step (step: FleetStep): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${JSON.stringify(step)}\n`)
    const site = 'site' in step ? at(this.#sites, step.site) : undefined
    if (step.type === 'apart') this.#part(step.forMs)
    else if (step.type === 'ill' && site !== undefined) this.#sicken(site, step)
    else if (step.type === 'vandalise' && site !== undefined) this.#vandalise(site, STACKS[step.stack % STACKS.length] as string)
    else if ('device' in step) this.#happens(step, at(this.#up(), step.device))
  }

  #happens (step: Extract<FleetStep, { device: number }>, device: Device | undefined): void {
    if (device?.life === undefined) return
    switch (step.type) {
      case 'write': return this.#write(device, device.life, STACKS[step.stack % STACKS.length] as string, step.notes)
      case 'sync': return this.#sync(device, device.life)
      case 'crash': return this.#crash(device, step.downMs)
      case 'restart': return this.#restart(device, device.life, step.downMs)
      case 'jump': device.life.wallAheadMs += step.byMs; return
      case 'offline': {
        device.offlineUntilMs = this.time.now + step.forMs
        device.ableMs = Math.max(device.ableMs, device.offlineUntilMs)
        return
      }
      case 'stall': {
        this.time.stall(device.life, step.forMs)
        device.ableMs = Math.max(device.ableMs, device.life.stalledUntilMs)
      }
    }
  }

  #write (device: Device, life: Life, key: string, notes: number): void {
    const write = (): void => { void device.stacks.get(key)?.add({ kind: 'note', title: `${device.name} at ${this.time.now}` }) }
    for (let i = 0; i < notes; i++) this.time.at(this.time.now + 3_000 * i, write, life)
  }

  #part (forMs: number): void {
    this.#apartUntilMs = this.time.now + forMs
    this.time.at(this.#apartUntilMs, () => { this.#meet() })
  }

  #sicken (site: Site, { how, forMs }: Extract<FleetStep, { type: 'ill' }>): void {
    if (!site.isWell) return
    site.illness = how
    site.sinceMs = this.time.now
    // The wait after a flood is as long as the flood was, at most twice.
    site.lateMs = Math.max(site.lateMs, how === 'floods' ? 4 * forMs : how === 'hangs' ? PASS_MS : 0)
    this.time.at(this.time.now + forMs, () => { this.#heal(site) })
  }

  #heal (site: Site): void {
    if (site.isWell) return
    site.illness = undefined
    site.sinceMs = this.time.now
  }

  #vandalise (site: Site, key: string): void {
    const changes = [...site.remote.files().keys()].filter(path => path.startsWith(`stacks/${key}/`)).map(path => ({ path, content: null }))
    if (changes.length === 0) return
    site.remote.edit(changes)
    site.damagedMs = this.time.now
  }

  #sync (device: Device, life: Life): void {
    if (device.asked) return
    device.asked = true
    const sinceMs = this.time.now
    this.time.within(life, () => {
      void device.service?.sync().finally(() => {
        device.asked = false
        // What a person asks for is not counted.
        for (const traffic of this.#traffic.get(life)?.values() ?? []) traffic.fetchesMs = []
        if (this.time.now - Math.max(sinceMs, life.stalledUntilMs) > WISH_MS) {
          this.#violate('a person who asked for a sync waited for passes that nobody asked for')
        }
      })
    })
  }

  #crash (device: Device, downMs: number): void {
    if (device.life === undefined) return
    this.#crashes++
    this.time.kill(device.life)
    device.life = device.service = undefined
    this.time.at(this.time.now + downMs, () => { if (device.life === undefined) this.#boot(device) })
  }

  /** A clean end, and another start. */
  #restart (device: Device, life: Life, downMs: number): void {
    const { service } = device
    if (service === undefined) return
    this.time.within(life, () => {
      const sinceMs = this.time.now
      const due = this.#flushed(device, life)
      device.service = undefined
      void service.stop().finally(() => {
        if (device.life !== life) return
        this.#stopped.add(life)
        for (const site of this.#sites) site.look(this.time.now)
        if (this.time.now - Math.max(sinceMs, life.stalledUntilMs) > STOP_MS) {
          this.#violate('a stop waited for a remote for longer than it may')
        }
        else if (due.some(([site, id]) => site.isWell && !site.notes.has(id))) this.#violate('a clean stop left a note behind that the remote would have taken')
        // What still runs of it shows itself before the process is gone.
        this.time.at(this.time.now + downMs, () => { this.#crash(device, downMs) })
      })
    })
  }

  /** What a clean stop has to bring to the remotes that have been well for a while. */
  #flushed (device: Device, life: Life): Array<[Site, string]> {
    const calmMs = this.time.now - CALLED_MS
    if (device.ableMs > calmMs || life.stalledUntilMs > calmMs || device.asked) return []
    const well = this.#sites.filter(site => site.isWell && Math.max(site.sinceMs, site.damagedMs) + site.lateMs < calmMs)
    return well.flatMap(site => [...device.notes.keys()].map((id): [Site, string] => [site, id]))
  }

  #mend (): void {
    for (const site of this.#sites) this.#heal(site)
    if (this.#isApart) this.#part(0)
    for (const device of this.#devices) {
      if (device.offlineUntilMs <= this.time.now) continue
      device.offlineUntilMs = device.ableMs = this.time.now
    }
  }

  // --- what must be so

  #look (): void {
    for (const site of this.#sites) {
      site.look(this.time.now)
      for (const device of this.#up()) {
        const { life, service } = device
        if (life === undefined || service === undefined || this.time.now < life.stalledUntilMs) continue
        this.#lookAtTraffic(site, device, life)
        this.#lookAtNotes(site, device)
        this.#lookAtState(site, device, life, service)
      }
    }
  }

  #lookAtTraffic (site: Site, device: Device, life: Life): void {
    const traffic = this.#traffic.get(life)?.get(site)
    if (traffic === undefined || device.asked) return
    const { now } = this.time
    const fetches = traffic.fetchesMs.filter(ms => ms > now - WINDOW_MS)
    const isSilent = site.illness === 'refuses' || site.illness === 'hangs'
    if (isSilent && now - site.sinceMs > WINDOW_MS && fetches.length > FETCHES_ILL_MAX) {
      this.#violate('a remote that does not answer was asked more often than once a minute')
    }
    const sinceMs = Math.max(site.sinceMs, device.ableMs)
    const reads = traffic.fetchesMs.filter(ms => ms > sinceMs).length
    if (site.illness === 'floods' && reads > 3 + Math.log2(1 + Math.max(0, now - sinceMs) / 60_000)) {
      this.#violate('a remote that floods was read again and again')
    }
  }

  #lookAtNotes (site: Site, device: Device): void {
    const { now } = this.time
    if (!site.isWell || now < device.offlineUntilMs) return
    const ableMs = Math.max(device.ableMs, site.sinceMs, site.damagedMs)
    const lateMs = LATE_MS + site.lateMs
    const isLate = (sinceMs: number): boolean => now - Math.max(ableMs, sinceMs) > lateMs
    for (const [id, { sinceMs }] of device.notes) {
      if (!site.notes.has(id) && isLate(sinceMs)) this.#violate('a note was not on a remote minutes after both were well')
    }
    for (const [id, sinceMs] of site.notes) {
      if (!device.notes.has(id) && isLate(sinceMs)) this.#violate('a note on a remote did not come to a device for minutes')
    }
  }

  #lookAtState (site: Site, device: Device, life: Life, service: MirrorService): void {
    const { now } = this.time
    const takesNothingMs = site.illness === 'refuses' || site.illness === 'hangs' ? site.sinceMs : now
    for (const [id, { stack, sinceMs }] of device.notes) {
      if (site.notes.has(id)) continue
      const { state, message } = service.remoteStatus(stack, site.url)
      const heldMs = Math.max(sinceMs, device.ableMs, site.damagedMs)
      if (state === 'ok' && message === null && now - heldMs > CALLED_MS) {
        this.#violate('a stack was called mirrored, and a note of it was not on the remote')
      }
      const isKnown = sinceMs > life.bootMs
      if (state !== 'failing' && isKnown && now - Math.max(heldMs, takesNothingMs) > FAILING_MS) {
        this.#violate('a remote that took nothing for long was not called failing')
      }
    }
  }

  /** What is not as it should be when nothing happens any more. */
  #atRest (): string[] {
    const wrong = new Set<string>()
    const [pushes, rejected] = this.#sites.reduce(([all, over], { remote }) => [all + remote.pushes, over + remote.rejected], [0, 0])
    if (this.#plan.calm === true && rejected > pushes / 4) {
      wrong.add('devices that hear each other pushed over each other')
    }
    const all = [...new Set(this.#devices.flatMap(({ notes }) => [...notes.keys()]))]
    for (const { notes, service } of this.#devices) {
      if (all.some(id => !notes.has(id))) wrong.add('a note is not on every device at rest')
      for (const site of this.#sites) {
        if (all.some(id => !site.notes.has(id))) wrong.add('a note is not on every remote at rest')
        if (STACKS.some(stack => service?.remoteStatus(stack, site.url).state !== 'ok')) {
          wrong.add('a remote that holds everything is not called so at rest')
        }
      }
    }
    return [...wrong]
  }

  #violate (what: string): void {
    this.#violations.add(what)
    this.#trace.update(`${this.time.now.toFixed(1)} violation ${what}\n`)
  }
}

function at<T> (list: readonly T[], place: number): T | undefined { return list[place % Math.max(1, list.length)] }
