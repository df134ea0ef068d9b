/**
 * A mesh of devices whose membership is the one that ships: records, roster, door, exchange of records, and the supervisor that
 * dials. What surrounds them is simulated: time, links, disks, people and faults. Every invariant is checked against what the
 * town itself knows (who was invited by whom, who was put out, what lay on a disk), never against what the devices believe.
 */
import { createHash } from 'node:crypto'
import { deviceId, type DeviceId, type Role } from '@elder-node/protocol'
import { nodeCrypto, signerFromSeed } from '../../../packages/node/src/adapters/crypto.ts'
import { PEERS_WANTED } from '../../../packages/node/src/adapters/libp2p/dial-plan.ts'
import type { Supervisor } from '../../../packages/node/src/adapters/libp2p/supervisor.ts'
import type { Membership } from '../../../packages/node/src/services/membership.ts'
import { openMembership } from '../../../packages/node/src/services/membership/open-membership.ts'
import type { MemoryMesh } from '../../../packages/node/test/support/memory-mesh.ts'
import { MemoryFiles } from '../../../packages/node/test/support/memory-files.ts'
import { load, type Edit } from '../mutant.ts'
import { seededRandom } from '../random.ts'
import { VirtualNetwork } from '../virtual/network.ts'
import { VirtualTime, type Life } from '../virtual/time.ts'
import { DialsWatch } from './dials.ts'
import type { MeshStep } from './plan.ts'

/** One rule less, to show that the town sees it. */
export type Mutant = 'door' | 'close' | 'exchange' | 'durable' | 'proof'

/** `edits`: a mutant of the supervisor; it ends at the first thing that it does wrong. */
export interface TownPlan { seed: number, steps: readonly MeshStep[], minutes: number, mutant?: Mutant, edits?: readonly Edit[] }

export interface TownOutcome {
  violations: string[]
  hash: string
  events: number
  /** At the end, as one device that is left sees it. */
  members: number
  records: number
  crashes: number
  evictions: number
  restores: number
  tickets: number
  /** Devices that showed one of them. */
  shown: number
}

export interface Device {
  name: string
  id: DeviceId
  seed: Uint8Array
  disk: MemoryFiles
  backup: Map<string, Uint8Array> | undefined
  /** What of the disk a cache that lies would have kept, for the mutant `durable`. */
  flushed: Map<string, Uint8Array>
  ticket: string | undefined
  life: Life | undefined
  membership: Membership | undefined
  mesh: MemoryMesh | undefined
  supervisor: Supervisor | undefined
  /** Does not believe that it was put out: starts from its backup again and again. */
  haunts: boolean
  /** It saw itself as a member once. */
  entered: boolean
  /** It knows, with proof, that it is out; it joined no mesh, or it left. */
  over: boolean
}

const SUPERVISOR = 'packages/node/src/adapters/libp2p/supervisor.ts'
const LOOK_MS = 500
const HEARD_MS = 2_000
const REST_MS = 400_000
/** A disk that lies about what is durable keeps what is this old. */
const FLUSH_MS = 30_000
const crypto = nodeCrypto()
const silent = (): void => {}

export class Town {
  readonly time = new VirtualTime()
  readonly #random: () => number
  readonly #network: VirtualNetwork
  readonly #dials: DialsWatch
  readonly #plan: TownPlan
  readonly #devices = new Map<DeviceId, Device>()
  readonly #violations = new Set<string>()
  readonly #trace = createHash('sha256')
  /** Who showed which ticket. */
  readonly #tickets = new Map<string, DeviceId[]>()
  /** When this device first knew that the other is out, per life. */
  readonly #heard = new Map<Life, Map<DeviceId, number>>()
  readonly #evicted = new Set<DeviceId>()
  readonly #lost = new Set<DeviceId>()
  #Supervisor: typeof Supervisor | undefined
  /** Which admins evicted a device, or marked it as lost. */
  readonly #removers = new Map<DeviceId, Set<DeviceId>>()
  #count = 0
  #crashes = 0
  #restores = 0

  constructor (plan: TownPlan) {
    this.#plan = plan
    this.#random = seededRandom(plan.seed)
    this.#network = new VirtualNetwork(this.time, this.#random)
    this.#dials = new DialsWatch(this.time, this.#network, what => { this.#violate(what) })
  }

  async run (): Promise<TownOutcome> {
    const { edits } = this.#plan
    this.#Supervisor = (await load<{ Supervisor: typeof Supervisor }>(SUPERVISOR, edits)).Supervisor
    this.time.install()
    try {
      this.#boot(this.#newDevice(undefined))
      const endMs = this.#plan.minutes * 60_000
      for (const step of this.#plan.steps) this.time.at(step.atMs, () => { this.#step(step) })
      for (let at = LOOK_MS; at < endMs + REST_MS; at += LOOK_MS) this.time.at(at, () => { this.#look() })
      await this.time.run(endMs)
      this.#network.heal()
      for (const device of this.#devices.values()) device.haunts = false
      await this.time.run(endMs + REST_MS)
      if (!this.#isCaught) this.#atRest()
    } finally {
      this.time.uninstall()
    }
    const [one] = this.#up()
    return {
      violations: [...this.#violations], hash: this.#trace.digest('hex'), events: this.time.events, crashes: this.#crashes, restores: this.#restores,
      evictions: this.#evicted.size, tickets: this.#tickets.size, shown: [...this.#tickets.values()].flat().length, members: one?.membership?.roster.members.size ?? 0, records: one?.membership?.records().length ?? 0,
    }
  }

  // --- devices

  #newDevice (ticket: string | undefined): Device {
    const name = `d${this.#count++}`
    const seed = crypto.sha256(Buffer.from(`${this.#plan.seed} ${name}`))
    const id = deviceId(signerFromSeed(seed).publicKey)
    const device: Device = {
      name, id, seed, ticket, disk: new MemoryFiles(), backup: undefined, flushed: new Map(), life: undefined, membership: undefined, mesh: undefined, supervisor: undefined,
      haunts: false, entered: false, over: false,
    }
    this.#devices.set(id, device)
    return device
  }

  #boot (device: Device): void {
    if (this.#isCaught) return
    const life = this.time.spawn(device.name, { rate: 0.99 + 0.02 * this.#random(), wallAheadMs: 5_000 * this.#random() })
    device.life = life
    this.#network.begins(device.id, life)
    this.time.inside(life, () => { this.#open(device, life) })
  }

  #open (device: Device, life: Life): void {
    const { mutant } = this.#plan
    const signer = signerFromSeed(device.seed)
    const clock = this.time.clockOf(life)
    const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(256 * this.#random()))
    let membership: Membership
    try {
      membership = openMembership(
        { crypto, signer, signerFromSeed, clock, random, files: device.disk },
        { deviceName: device.name, ...(device.ticket === undefined ? {} : { ticket: device.ticket }) },
      ).membership
    } catch (error) {
      this.#trace.update(`${device.name} does not open: ${String(error)}\n`)
      device.over = true
      this.#end(device)
      return
    }
    device.membership = membership
    const mesh = this.#network.memory.join(device.id, mutated(membership, mutant))
    device.mesh = mesh
    membership.attach(mutant === 'exchange' ? mute(mesh) : mesh)
    membership.serveHeads(mesh, { headsOf: async () => new Map(), headsBeyond: async () => new Map() })
    mesh.on('admitted', other => { this.#admitted(device, life, other) })
    const supervisor = new (this.#Supervisor as typeof Supervisor)({
      self: device.id, clock, random: this.#random, candidates: () => membership.members(), isConnected: other => this.#network.memory.linked(device.id, other),
      dial: ({ device: to }, signal) => this.#dials.during(device, life, to, () => this.#dial(device, to, signal)),
      refused: (other, code) => { this.#dials.refused(life, other, code) }, failed: silent,
    })
    device.supervisor = supervisor
    mesh.on('admitted', other => {
      const address = this.#devices.get(other)?.mesh?.addresses() ?? []
      membership.learned(other, address)
      supervisor.admitted(other)
      this.#dials.changed(life)
      this.#dials.admitted(life, other)
    })
    mesh.on('gone', other => {
      supervisor.lost(other)
      this.#dials.changed(life)
    })
    void membership.evicted.then(() => { if (!device.haunts) this.#isOut(device, life) })
    void membership.joined({ signal: AbortSignal.timeout(120_000) }).catch(() => { if (membership.me === undefined) this.#isOut(device, life) })
    void mesh.start().then(() => {
      membership.start()
      supervisor.start()
    })
  }

  /** As a node that was put out: it ends. */
  #isOut (device: Device, life: Life): void {
    if (device.life !== life) return
    device.over = true
    this.#end(device)
  }

  async #dial (device: Device, to: DeviceId, signal: AbortSignal): Promise<void> {
    const peer = this.#devices.get(to)
    if (peer?.life === undefined || this.#network.parted(device.id, to)) {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => { reject(new Error('no answer')) }, { once: true })
        if (peer?.life === undefined) reject(new Error('connection refused'))
      })
    }
    await this.#network.memory.connect(device.id, to, { signal })
  }

  /** A clean or an unclean end: nothing of this life happens any more. */
  #end (device: Device): void {
    const { life } = device
    if (life === undefined) return
    this.#network.vanished(device.id)
    this.time.kill(life)
    device.life = device.mesh = device.membership = device.supervisor = undefined
  }

  #up (): Device[] { return [...this.#devices.values()].filter(({ membership }) => membership?.me !== undefined) }

  // --- what happens

  #step (step: MeshStep): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${JSON.stringify(step)}\n`)
    switch (step.type) {
      case 'invite': return this.#invite(step)
      case 'evict': return this.#asAdmin(step, async (membership, subject) => {
        await membership.evict(subject.id)
        this.#evicted.add(subject.id)
        this.#removedBy(membership.self, subject.id)
      })
      case 'promote': return this.#asAdmin(step, async (membership, subject) => { membership.promote(subject.id) })
      case 'lose': return this.#asAdmin(step, async (membership, subject) => {
        membership.markLost(subject.id)
        this.#lost.add(subject.id)
        this.#removedBy(membership.self, subject.id)
      })
      case 'leave': return this.#leave(step)
      case 'crash': return this.#crash(this.#at(this.#up(), step.device), step.downMs, undefined)
      case 'backup': return this.#backup(this.#at(this.#up(), step.device))
      case 'restore': return this.#restore(this.#at(this.#up(), step.device), step.downMs)
      case 'part': return this.#part(step)
      case 'stall': return this.#stall(this.#at(this.#up(), step.device), step.forMs)
      case 'jump': return this.#jump(this.#at(this.#up(), step.device), step.byMs)
      case 'haunt': return this.#haunt(step)
    }
  }

  #removedBy (admin: DeviceId, device: DeviceId): void { this.#removers.set(device, (this.#removers.get(device) ?? new Set()).add(admin)) }

  #at<T> (list: readonly T[], place: number): T | undefined { return list[place % Math.max(1, list.length)] }

  #invite ({ admin, role, racers }: Extract<MeshStep, { type: 'invite' }>): void {
    const host = this.#at(this.#admins(), admin)
    if (host?.life === undefined || this.#up().length + racers > 9) return
    this.time.within(host.life, () => {
      try {
        const { ticket } = host.membership?.invite({ role }) ?? {}
        if (ticket === undefined) return
        const joiners = Array.from({ length: racers }, () => this.#newDevice(ticket))
        this.#tickets.set(ticket, joiners.map(({ id }) => id))
        // Not inside the host's life: each is a device of its own.
        this.time.at(this.time.now, () => { for (const joiner of joiners) this.#boot(joiner) })
      } catch { /* no admin any more */ }
    })
  }

  #admins (): Device[] { return this.#up().filter(({ membership }) => membership?.me?.role === 'admin') }

  #asAdmin ({ admin, device }: { admin: number, device: number }, act: (membership: Membership, subject: Device) => Promise<void>): void {
    const host = this.#at(this.#admins(), admin)
    const subject = this.#at(this.#up(), device)
    if (host?.life === undefined || subject === undefined || subject === host) return
    this.time.within(host.life, () => {
      // Refused, as the subject is no member there, or the host no admin any more: nothing happened.
      if (host.membership !== undefined) act(host.membership, subject).catch(silent)
    })
  }

  #leave ({ device }: { device: number }): void {
    const leaver = this.#at(this.#up(), device)
    const life = leaver?.life
    if (leaver === undefined || life === undefined || this.#up().length < 4) return
    this.time.within(life, () => {
      this.#evicted.add(leaver.id)
      void leaver.membership?.leave().catch(silent).finally(() => { this.#isOut(leaver, life) })
    })
  }

  #crash (device: Device | undefined, downMs: number, disk: Map<string, Uint8Array> | undefined): void {
    if (device === undefined) return
    this.#crashes++
    const known = recordsOn(device)
    this.#end(device)
    this.time.at(this.time.now + downMs, () => {
      if (device.life !== undefined || device.over) return
      const before = this.#plan.mutant === 'durable' ? new Map([...device.disk.contents].map(([name, bytes]) => [name, device.flushed.get(name) ?? bytes])) : device.disk.contents
      device.disk = new MemoryFiles()
      for (const [name, bytes] of disk ?? before) device.disk.contents.set(name, bytes)
      this.#boot(device)
      if (disk === undefined && device.membership !== undefined) this.#checkKept(device, known)
    })
  }

  #checkKept ({ membership }: Device, known: ReadonlySet<string>): void {
    const kept = new Set(membership?.records().map(hex))
    if ([...known].some(record => !kept.has(record))) this.#violate('a restarted device forgot records that it had')
  }

  #backup (device: Device | undefined): void { if (device !== undefined) device.backup = new Map(device.disk.contents) }

  #restore (device: Device | undefined, downMs: number): void {
    if (device?.backup === undefined) return
    this.#restores++
    this.#crash(device, downMs, device.backup)
  }

  #part ({ sides, forMs }: Extract<MeshStep, { type: 'part' }>): void {
    this.#network.partition(new Map([...this.#devices.keys()].map((id, i) => [id, (sides >> (i % 16)) & 1])))
    this.time.at(this.time.now + forMs, () => { this.#network.heal() })
  }

  #stall (device: Device | undefined, forMs: number): void { if (device?.life !== undefined) this.time.stall(device.life, forMs) }

  #jump (device: Device | undefined, byMs: number): void { if (device?.life !== undefined) device.life.wallAheadMs += byMs }

  /** Only who was put out: it has no say any more, whatever its disk tells it. */
  #haunt ({ device }: { device: number }): void {
    const ghost = this.#at([...this.#devices.values()].filter(({ id, backup, life }) => this.#evicted.has(id) && backup !== undefined && life === undefined), device)
    if (ghost?.backup === undefined) return
    ghost.haunts = true
    ghost.over = false
    ghost.disk = new MemoryFiles()
    for (const [name, bytes] of ghost.backup) ghost.disk.contents.set(name, bytes)
    this.#boot(ghost)
    this.time.at(this.time.now + 60_000, () => {
      ghost.haunts = false
      this.#end(ghost)
      ghost.over = true
    })
  }

  // --- what must be so

  #admitted (device: Device, life: Life, other: DeviceId): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${device.name} admitted ${this.#devices.get(other)?.name ?? ''}\n`)
    if (device.life !== life || device.haunts) return
    if (device.membership?.isRevoked(other) === true) this.#violate('a device that is known to be out was let in')
  }

  #look (): void {
    this.#dials.look(this.#up().filter(({ haunts }) => !haunts))
    for (const device of this.#devices.values()) {
      const { life, membership, mesh } = device
      if (life === undefined || membership === undefined || mesh === undefined || device.haunts) continue
      device.entered ||= membership.me !== undefined
      if (this.#plan.mutant === 'durable' && this.time.now % FLUSH_MS === 0) device.flushed = new Map(device.disk.contents)
      this.#lookAtRemovals(device, life, membership, mesh)
      this.#lookAtTickets(membership)
    }
  }

  #lookAtRemovals (device: Device, life: Life, membership: Membership, mesh: MemoryMesh): void {
    const heard = this.#heard.get(life) ?? new Map<DeviceId, number>()
    this.#heard.set(life, heard)
    for (const other of membership.roster.revoked.keys()) if (!heard.has(other)) heard.set(other, this.time.now)
    for (const [other, sinceMs] of heard) {
      if (!membership.isRevoked(other)) this.#violate('an eviction that was heard was undone')
      const isHeld = mesh.peers().some(peer => peer.device === other)
      if (isHeld && this.time.now - sinceMs > HEARD_MS && this.time.now > life.stalledUntilMs + HEARD_MS) this.#violate('a device that is out stayed connected')
    }
  }

  #lookAtTickets (membership: Membership): void {
    for (const shown of this.#tickets.values()) {
      if (shown.filter(id => membership.roster.members.has(id)).length > 1) this.#violate('one ticket let in two devices')
    }
    for (const id of membership.roster.members.keys()) if (!this.#devices.has(id)) this.#violate('somebody is a member that nobody invited')
  }

  #atRest (): void {
    const known = this.#upThatKnowEachOther()
    const up = known.filter(device => !this.#isInDispute(device))
    for (const { membership } of known.filter(device => !up.includes(device))) {
      if (membership?.problems().some(({ code }) => code === 'EVICTION_DISPUTED') !== true) this.#violate('a device that the others do not let in is not told why')
    }
    const digests = new Set(up.map(({ membership }) => membership === undefined ? '' : digestOf(membership)))
    if (digests.size > 1) this.#violate('devices that can talk hold different records at rest')
    for (const device of up) {
      const others = up.filter(other => other !== device).map(({ id }) => id)
      const peers = new Set(device.mesh?.peers().map(peer => peer.device))
      // Of two that both have as many as a node keeps, neither dials the other.
      if (peers.size < PEERS_WANTED && others.some(id => !peers.has(id))) this.#violate('members that can talk are not connected at rest')
      if (others.some(id => device.membership?.roster.members.has(id) !== true)) this.#violate('a device thinks it is a member, and others know better')
    }
    for (const device of this.#devices.values()) if (device.over && this.#wasWronged(device)) this.#violate('a device was put out by nobody')
  }

  /**
   * An admin that it knows to be out removed it without its knowing, and the others go by that; it believes no door that says so. By the
   * rules of the roster it is out, and no record brings it back.
   */
  #isInDispute ({ id, membership }: Device): boolean {
    const removers = [...this.#removers.get(id) ?? []]
    return removers.some(admin => membership?.isEvicted(admin) === true) && this.#up().some(other => other.id !== id && other.membership?.roster.members.has(id) !== true)
  }

  /**
   * The largest group. A device that was away, or came back from an old backup, may know nobody any more that is still there, and
   * no member knows it: nothing can bring it back together with the others.
   */
  #upThatKnowEachOther (): Device[] {
    const left = new Set(this.#up())
    const groups: Device[][] = []
    for (let [first] = left; first !== undefined; [first] = left) {
      const group = [first]
      left.delete(first)
      for (const device of group) {
        for (const other of left) if (knows(device, other) || knows(other, device)) { group.push(other); left.delete(other) }
      }
      groups.push(group)
    }
    return groups.toSorted((a, b) => b.length - a.length)[0] ?? []
  }

  /** It ended as no member, though nobody removed it, and every roster has it as one. */
  #wasWronged ({ id, entered }: Device): boolean {
    const up = this.#up()
    return entered && !this.#evicted.has(id) && !this.#lost.has(id) && up.length > 0 && up.every(({ membership }) => membership?.roster.members.has(id) === true)
  }

  /** A mutant that was caught needs no more proof: everything stops, also what would dial without an end. */
  get #isCaught (): boolean { return this.#plan.edits !== undefined && this.#violations.size > 0 }

  #violate (what: string): void {
    this.#violations.add(what)
    if (this.#isCaught) for (const { life } of this.#devices.values()) if (life !== undefined) this.time.kill(life)
    this.#trace.update(`${this.time.now.toFixed(1)} violation ${what}\n`)
  }
}

/** What an admin's device holds as text: names its records. */
function recordsOn ({ membership }: Device): Set<string> { return new Set(membership?.me === undefined ? [] : membership.records().map(hex)) }

/** Equal when two devices hold the same records. */
function digestOf (membership: Membership): string { return hex(crypto.sha256(...membership.records().map(bytes => crypto.sha256(bytes)).sort(Buffer.compare))) }

/** As a member whose address it has: without one it cannot dial. */
function knows ({ membership }: Device, { id }: Device): boolean {
  return membership?.members().some(({ device, addresses }) => device === id && addresses.length > 0) === true
}

function hex (bytes: Uint8Array): string { return Buffer.from(bytes).toString('hex') }

function mute (mesh: MemoryMesh): MemoryMesh {
  mesh.broadcast = async () => 0
  const request = mesh.request.bind(mesh)
  mesh.request = (device, service, message, options) => service === 'roster' ? Promise.reject(new Error('mutant')) : request(device, service, message, options)
  return mesh
}

type Doorkeeper = Pick<Membership, 'hello' | 'decide' | 'greeted' | 'refused' | 'role' | 'onRemoved'>

function mutated (membership: Membership, mutant: Mutant | undefined): Doorkeeper {
  const door: Doorkeeper = {
    hello: () => membership.hello(),
    decide: (dialer, hello, options) => membership.decide(dialer, hello, options),
    greeted: (listener, answer) => { membership.greeted(listener, answer) },
    refused: (listener, code, proof) => { membership.refused(listener, code, proof) },
    role: (device: DeviceId): Role | undefined => membership.role(device),
    onRemoved: listener => membership.onRemoved(listener),
  }
  if (mutant === 'door') return { ...door, decide: async (dialer, hello, options) => {
    const verdict = await membership.decide(dialer, hello, options)
    return verdict.ok || verdict.code !== 'revoked' ? verdict : { ok: true, answer: { v: 1, proof: [] } }
  } }
  if (mutant === 'close') return { ...door, onRemoved: () => () => {} }
  if (mutant === 'proof') return { ...door, refused: (listener, code) => { membership.refused(listener, code, undefined) } }
  return door
}
