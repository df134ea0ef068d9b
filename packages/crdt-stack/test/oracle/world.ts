/**
 * Real stacks and the model's replicas side by side: what one takes is handed to the other in the same order, and after every step
 * both must hold, void and skip the same. One seed is one history.
 */
import {
  ElderError, feedDevice, stackId, SyncSession, toBase32, toHex, type Batch, type Cuts, type DeviceCut, type DeviceId,
  type FeedId, type Replica as SyncReplica, type SessionInput, type StackKey,
} from '@elder-node/protocol'
import { createMemory, MemoryFeedStore, Stack, type Memory } from '../../src/index.ts'
import { Graph } from '../../src/feeds/graph.ts'
import type { Node } from '../../src/feeds/node.ts'
import { EntriesView, type Unshown } from '../../src/view.ts'
import { Replica, RULES, type ModelRules } from '../../../../test/oracles/strands/rules.mjs'
import { crypto, signerOf } from './crypto.ts'
import { Liar } from './liar.ts'
import { ancestors, Mapping, type Known } from './mapping.ts'

export class Broken extends Error {}

/** mulberry32 */
export class Random {
  #a: number
  constructor (seed: number) { this.#a = seed >>> 0 }
  next (): number {
    this.#a = (this.#a + 0x6D2B79F5) | 0
    let t = Math.imul(this.#a ^ (this.#a >>> 15), 1 | this.#a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  int (n: number): number { return Math.floor(this.next() * n) }
  pick<T> (list: readonly T[]): T { return list[this.int(list.length)] as T }
  chance (p: number): boolean { return this.next() < p }
  shuffle<T> (list: readonly T[]): T[] {
    const out = [...list]
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      ;[out[i], out[j]] = [out[j] as T, out[i] as T]
    }
    return out
  }

  bytes (n: number): Uint8Array { return Uint8Array.from({ length: n }, () => this.int(256)) }
}

/** Looks into the stacks that are opened from now on: which records a graph holds, and what a view says of them. */
export class Peephole {
  readonly #setCuts = Graph.prototype.setCuts
  readonly #attach = Graph.prototype.attach
  readonly #taken = new Map<Graph, Node[]>()
  readonly #unshown = EntriesView.prototype.unshown
  #graph: Graph | undefined
  #seen: { view: EntriesView, unshown: Unshown[] } | undefined

  constructor () {
    const [setCuts, unshown, noteGraph, noteView] = [
      this.#setCuts, this.#unshown, (graph: Graph) => { this.#graph = graph },
      (view: EntriesView, list: Unshown[]) => { this.#seen = { view, unshown: list } },
    ]
    const [attach, taken] = [this.#attach, this.#taken]
    Graph.prototype.attach = function (node) { attach.call(this, node); taken.get(this)?.push(node) }
    Graph.prototype.setCuts = function (cuts) { noteGraph(this); return setCuts.call(this, cuts) }
    EntriesView.prototype.unshown = function (graph) {
      const list = unshown.call(this, graph)
      noteView(this, list)
      return list
    }
  }

  close (): void {
    Graph.prototype.setCuts = this.#setCuts
    Graph.prototype.attach = this.#attach
    EntriesView.prototype.unshown = this.#unshown
  }

  /** Of the stack that was opened last. */
  graph (): Graph { return this.#graph as Graph }

  /** What it took since the last time this was asked. */
  taken (graph: Graph): Node[] {
    const nodes = this.#taken.get(graph) ?? []
    this.#taken.set(graph, [])
    return nodes
  }

  view (stack: Stack): { view: EntriesView, unshown: Unshown[] } {
    stack.unshown()
    return this.#seen as { view: EntriesView, unshown: Unshown[] }
  }
}

export interface WorldInit {
  /** Switches of the model: each turns a rule off. @default the rules as they are */
  rules?: ModelRules
  /** What is about to be stored is seen by a peer, also when the disk then refuses it. @default false */
  leaks?: boolean
}

export interface Shape {
  honest: number, liars: number, lies: number, cap: number, faults: boolean, evict: boolean, steps: number,
}
export function shapeOf (seed: number): Shape {
  const random = new Random(seed * 7919 + 13)
  return {
    honest: 2 + random.int(4), liars: random.pick([0, 1, 1, 1, 2]), lies: random.pick([2, 4, 8]), cap: random.pick([2, 3, 4, 8]),
    faults: random.chance(0.6), evict: random.chance(0.5), steps: 20 + random.int(40),
  }
}

class FlakyStore extends MemoryFeedStore {
  fails = false
  failed: (batches: readonly Batch[]) => void = () => {}
  override async append (batches: readonly Batch[]): Promise<void> {
    if (!this.fails) return await super.append(batches)
    this.failed(batches)
    throw new ElderError('DISK_FULL', 'full')
  }
}

const NAME = 'oracle'
const STACK = stackId(NAME, crypto)
const KEY = STACK as unknown as StackKey

class Device {
  readonly signer: ReturnType<typeof signerOf>
  readonly acked: string[] = []
  cuts = new Map<DeviceId, DeviceCut>()
  memory: Memory = createMemory()
  stack!: Stack
  graph!: Graph
  store!: FlakyStore
  model!: Replica
  isFaulty = false
  backup: Memory | undefined
  readonly #world: World
  readonly #drawn: Random

  constructor (name: string, world: World) {
    this.signer = signerOf(name)
    this.#world = world
    this.#drawn = new Random(world.seed * 31 + name.charCodeAt(1))
  }

  get id (): DeviceId { return this.signer.id }
  get isCut (): boolean { return this.cuts.has(this.id) }

  async open (): Promise<void> {
    const world = this.#world
    this.memory = { ...this.memory, batches: world.random.shuffle(this.memory.batches) }
    this.store = new FlakyStore(this.memory)
    this.store.failed = batches => {
      for (const { record } of batches.flatMap(batch => world.mapping.of(batch))) {
        if (record.dev === this.id) world.failed.add(record.hash)
      }
      world.refused.push(...batches)
    }
    this.stack = await Stack.open(
      {
        store: this.store, crypto, signer: this.signer, wallMs: () => 1_750_000_000_000 + world.clock++,
        random: n => this.#drawn.bytes(n),
      },
      { id: STACK, name: NAME, headsMax: world.shape.cap, cuts: this.#cuts() },
    )
    this.graph = world.peephole.graph()
    this.stack.onAppend(batch => { this.#own(batch) })
    this.model = new Replica({ ...world.rules, CAP: world.shape.cap, pending: Infinity })
    for (const [device, { keep, undo }] of this.cuts) this.model.evict(device, [...keep], undo)
    this.#noteDisplaced()
    for (const batch of this.memory.batches) this.take([batch])
    this.model.prune()
  }

  /** Hands the batches to the model. */
  take (batches: readonly Batch[]): void { for (const { record } of batches.flatMap(batch => this.#world.mapping.of(batch))) this.model.take(record) }

  async receive (batches: readonly Batch[]): Promise<void> {
    this.#world.peephole.taken(this.graph)
    try {
      await this.stack.receive(batches)
    } catch (error) {
      if (!(error instanceof ElderError && error.code === 'DISK_FULL')) throw error
      return
    }
    this.#noteDisplaced()
    this.take(batches)
    this.#takeAgain()
    this.model.prune()
  }

  /** What was dropped before may have come back, beside a waiting record or because a cut keeps more: the model is handed it too. */
  #takeAgain (): void {
    for (const { name } of this.#world.peephole.taken(this.graph)) {
      this.model.take((this.#world.mapping.known.get(name) as Known).record)
    }
  }

  async learn (device: DeviceId, keep: readonly string[], undo: boolean): Promise<void> {
    const before = this.cuts.get(device)
    this.cuts = new Map(this.cuts).set(device, {
      keep: new Set([...before?.keep ?? [], ...keep]), undo: undo || before?.undo === true,
    })
    this.#world.peephole.taken(this.graph)
    await this.stack.setCuts(this.#cuts())
    this.model.evict(device, [...keep], undo)
    this.#takeAgain()
    this.model.prune()
  }

  async write (): Promise<void> {
    const { random } = this.#world
    const entries = this.stack.entries()
    const entry = entries.length === 0 ? undefined : random.pick(entries)
    const roll = random.next()
    if (entry === undefined || roll < 0.25) await this.stack.add({
      kind: 'note', title: `t${random.int(1000)}`, body: random.pick(['', 'one two three']),
    })
    else if (roll < 0.45) await this.stack.edit(entry.id, { title: `u${random.int(1000)}` })
    else if (roll < 0.5) await this.stack.remove(entry.id)
    else {
      const at = random.int(entry.body.length + 1)
      const body = entry.body.slice(0, at) + 'ABCD'.slice(0, random.int(4)) + entry.body.slice(at + random.int(3))
      await this.stack.edit(entry.id, { body }, {}, { overwrite: true })
    }
  }

  #own (batch: Batch): void {
    this.take([batch])
    this.acked.push(...this.#world.mapping.of(batch).map(({ record }) => record.hash))
  }

  #cuts (): Cuts { return new Map(this.cuts) }

  #noteDisplaced (): void {
    for (const { name, why } of this.graph.nodes()) {
      if (why !== undefined && DISPLACED.has(why)) this.#world.mapping.displaced(name)
    }
  }
}

const DISPLACED: ReadonlySet<string> = new Set([
  'text is not next to where it says', 'a text update does not apply', 'a text update refers to something unknown',
  'a text update does not end where it says',
])

export class World {
  readonly seed: number
  readonly shape: Shape
  readonly random: Random
  readonly rules: ModelRules
  readonly mapping = new Mapping(STACK)
  readonly peephole: Peephole
  readonly failed = new Set<string>()
  readonly lost = new Set<string>()
  refused: Batch[] = []
  clock = 1
  rounds = 0
  exchanges = 0
  skipped = 0
  readonly #leaks: boolean
  readonly #devices: Device[]
  readonly #liars: Liar[]
  readonly #states = new Map<string, string>()

  constructor (seed: number, peephole: Peephole, { rules = {}, leaks = false }: WorldInit = {}) {
    this.seed = seed
    this.shape = shapeOf(seed)
    this.random = new Random(seed)
    this.rules = { ...RULES, ...rules }
    this.peephole = peephole
    this.#leaks = leaks
    this.#devices = Array.from({ length: this.shape.honest }, (_, i) => new Device(`h${i}`, this))
    this.#liars = Array.from(
      { length: this.shape.liars }, (_, i) => new Liar(`x${i}`, STACK, this.mapping, this.random)
    )
  }

  get records (): number { return this.mapping.known.size }
  /** Over all devices. */
  get held (): number { return this.#devices.reduce((sum, { graph }) => sum + graph.size, 0) }

  async play (): Promise<void> {
    for (const device of this.#devices) await device.open()
    for (let step = 0; step < this.shape.steps; step++) {
      const device = this.random.pick(this.#devices)
      const what = await this.#step(device)
      for (const other of this.#devices) this.#compare(other, `step ${step} (${what})`)
    }
    await this.#heal()
    this.#check()
    for (const { stack } of this.#devices) await stack.close()
  }

  fail (why: string): never { throw new Broken(why) }

  async #step (device: Device): Promise<string> {
    const { random, shape } = this
    const roll = random.next()
    if (roll < 0.28) {
      if (!device.isCut) for (let i = random.int(3); i >= 0; i--) await device.write()
      return 'write'
    }
    if (roll < 0.48) {
      await this.#exchange(device, random.pick(this.#devices), random.chance(0.3) ? 1 + random.int(8) : Infinity)
      return 'exchange'
    }
    if (roll < 0.58) {
      await this.#gossip(device, random.pick(this.#devices))
      return 'gossip'
    }
    if (roll < 0.8 && this.#liars.length > 0) {
      const liar = random.pick(this.#liars)
      for (let i = random.int(shape.lies); i >= 0; i--) liar.lie()
      await this.#deliver(device, random.shuffle(liar.batches).slice(0, 1 + random.int(shape.lies)))
      return 'lie'
    }
    if (roll < 0.85) {
      await device.stack.close()
      await device.open()
      return 'restart'
    }
    if (roll < 0.88) {
      device.memory.cleanEnd = undefined
      await device.open()
      return 'crash'
    }
    if (roll < 0.91) {
      if (!device.isCut) await this.#failWrite(device)
      return 'full disk'
    }
    if (roll < 0.97 && shape.faults) return await this.#goBack(device)
    if (shape.evict && this.#liars.length > 0 && random.chance(0.5)) {
      const victim = random.chance(0.8) ? random.pick(this.#liars).signer.id : (this.#devices.at(-1) as Device).id
      const keep = device.stack.headsOf(victim).map(toHex).filter(() => random.chance(0.7))
      await device.learn(victim, keep, random.chance(0.3))
    }
    return 'evict'
  }

  async #failWrite (device: Device): Promise<void> {
    device.store.fails = true
    await device.write().catch((error: unknown) => {
      if (!(error instanceof ElderError && error.code === 'DISK_FULL')) throw error
    })
    device.store.fails = false
    const refused = this.refused.splice(0)
    if (this.#leaks && refused.length > 0) await this.random.pick(
      this.#devices.filter(other => other !== device)
    ).receive(refused)
  }

  /** A backup is made, or comes back: noticed, or with a note of a clean end that fits; or the disk lies about its last batches. */
  async #goBack (device: Device): Promise<string> {
    const { random } = this
    const roll = random.next()
    if (roll < 0.4 || device.backup === undefined) {
      await device.stack.close()
      device.backup = { ...device.memory, batches: [...device.memory.batches] }
      await device.open()
      return 'backup'
    }
    const before = device.memory.batches
    const ownTip = (batches: readonly Batch[]): { feed: FeedId, name: string } | undefined => {
      const own = batches.filter(
        batch => feedDevice(batch.feed) === device.id && batch.feed === device.memory.batches.findLast(
          other => feedDevice(other.feed) === device.id
        )?.feed
      )
      const last = own.sort((a, b) => a.head.seq - b.head.seq).at(-1)
      return last === undefined ? undefined : { feed: last.feed, name: toHex(last.head.hash) }
    }
    if (roll < 0.75) {
      const noticed = random.chance(0.4)
      device.memory = { batches: [...device.backup.batches], cleanEnd: noticed ? undefined : device.backup.cleanEnd }
      device.isFaulty ||= !noticed
    } else {
      const batches = before.slice(0, Math.max(0, before.length - 1 - random.int(4)))
      device.memory = { batches, cleanEnd: undefined }
      device.memory.cleanEnd = ownTip(batches)
      device.isFaulty = true
    }
    this.#noteLost(before, device)
    await device.open()
    return 'back in time'
  }

  /** What no disk holds any more is nobody's fault here. */
  #noteLost (before: readonly Batch[], device: Device): void {
    const namesOf = (batches: readonly Batch[]): string[] => batches.flatMap(
      batch => this.mapping.of(batch).map(({ record }) => record.hash)
    )
    const kept = new Set(
      this.#devices.flatMap(other => namesOf(other === device ? device.memory.batches : other.memory.batches))
    )
    for (const name of namesOf(before)) if (!kept.has(name)) this.lost.add(name)
  }

  /** Batches along some path, in part, doubled and out of order. */
  async #gossip (to: Device, from: Device): Promise<void> {
    const heads = from.stack.vector()
    if (to === from || heads.length === 0) return
    const head = this.random.pick(heads)
    const batches = [...from.stack.path({ ...head, from: 1 + this.random.int(head.seq), to: head.seq })]
    await this.#deliver(to, batches.filter(() => this.random.chance(0.8)))
  }

  async #deliver (to: Device, batches: readonly Batch[]): Promise<void> {
    const twice = this.random.chance(0.2) ? [...batches, ...batches] : batches
    const order = this.random.chance(0.5) ? this.random.shuffle(twice) : twice
    if (this.random.chance(0.5)) await to.receive(order)
    else for (const batch of order) await to.receive([batch])
  }

  async #exchange (a: Device, b: Device, framesMax = Infinity): Promise<void> {
    if (a === b) return
    this.exchanges++
    for (const [one, other] of [[a, b], [b, a]] as const) {
      for (const [device, { keep, undo }] of other.cuts) {
        if (!covers(one.cuts.get(device), keep, undo)) await one.learn(device, [...keep], undo)
      }
    }
    const sides = [a, b].map(
      device => ({ device, session: new SyncSession({ replica: replicaOf(device), crypto }) })
    ) as [Side, Side]
    const queue: Array<{ to: Side, frame: Uint8Array }> = []
    const drive = async (side: Side, input: SessionInput): Promise<void> => {
      for (const effect of side.session.handle(input, 0)) {
        if (effect.type === 'send') queue.push({ to: side === sides[0] ? sides[1] : sides[0], frame: effect.frame })
        else if (effect.type === 'apply') {
          await side.device.receive(effect.batches)
          await drive(side, { type: 'applied' })
        } else if (effect.type === 'end' && effect.reason !== 'done') this.fail(`an exchange ended: ${effect.reason}`)
      }
    }
    await drive(sides[0], { type: 'start' })
    for (let frames = 0; queue.length > 0 && frames < framesMax; frames++) {
      if (frames > 2000) this.fail('an exchange of more than 2,000 frames')
      const { to, frame } = queue.shift() as { to: Side, frame: Uint8Array }
      await drive(to, { type: 'frame', frame })
    }
  }

  async #heal (): Promise<void> {
    for (this.rounds = 0; this.rounds <= 6; this.rounds++) {
      const digests = new Set(this.#devices.map(({ stack }) => toBase32(stack.feedsDigest())))
      if (digests.size === 1) return
      for (const [i, a] of this.#devices.entries()) for (const b of this.#devices.slice(i + 1)) await this.#exchange(
        ...this.random.shuffle([a, b]) as [Device, Device]
      )
      for (const device of this.#devices) this.#compare(device, `round ${this.rounds}`)
    }
    const everywhere = (name: string): boolean => this.#devices.every(({ graph }) => graph.node(name) !== undefined)
    const rows = this.#devices.map(({ graph }) => {
      const [alone, waiting] = [
        [...graph.nodes()].map(({ name }) => name).filter(name => !everywhere(name)),
        [...graph.waiting.values()].map(({ name }) => name),
      ]
      return `\n bare ${[...graph.heads.bare()].map(({ name }) => this.#say(name, graph)).join(' | ')}; holds ${alone.map(name => this.#say(name, graph)).join(' | ')}; waits ${waiting.map(name => this.#say(name, graph)).join(' | ')}`
    })
    this.fail(`not equal after 6 rounds: ${rows.join('')}`)
  }

  #compare (device: Device, when: string): void {
    const { stack, graph, model } = device
    const differ = (what: string, real: Iterable<string>, modelled: Iterable<string>): void => {
      const [a, b] = [[...real].sort(), [...modelled].sort()]
      if (a.join() === b.join()) return
      const [more, less] = [a.filter(name => !b.includes(name)), b.filter(name => !a.includes(name))]
      this.fail(
        `${when}: ${what} differ: the stack alone ${more.map(name => this.#say(name, graph)).join('; ')}; the model alone ${less.map(name => this.#say(name, graph)).join('; ')}`
      )
    }
    const nodes = [...graph.nodes()]
    differ('taken records', nodes.map(({ name }) => name), model.nodes.keys())
    differ(
      'waiting records',
      [...graph.waiting.values()].map(({ name }) => name).filter(name => !graph.waiting.isParked(name)),
      [...model.waiting.keys()].filter(name => !graph.waiting.isParked(name))
    )
    differ(
      'void records', nodes.filter(({ why }) => why !== undefined).map(({ name }) => name),
      [...model.nodes.values()].filter(node => node.void !== undefined).map(({ rec }) => rec.hash)
    )
    differ('heads', stack.vector().map(({ hash }) => toHex(hash)), model.vector().map(({ hash }) => hash))
    const { view, unshown } = this.peephole.view(stack)
    const theirs = model.view()
    const isVoid = (name: string): boolean => model.nodes.get(name)?.void !== undefined
    differ(
      'skipped records', unshown.filter(({ state }) => state === 'skipped').map(({ node }) => node.name),
      [...theirs.skipped.keys()].filter(name => !isVoid(name))
    )
    const shown = [...view.shown()]
    differ('entries', shown.map(({ name }) => name), theirs.entries.keys())
    for (const entry of shown) {
      const fields = theirs.entries.get(entry.name)?.fields ?? new Map()
      for (const [field, values] of entry.fields) {
        const modelled = (
          fields.get(field === 'removed' ? '#removed' : field) as Array<{ rec: { hash: string } }> | undefined
        )?.map(({ rec }) => rec.hash) ?? [entry.name]
        differ(`values of ${field}`, values.map(({ by }) => by.name), modelled)
      }
    }
    const { feeds, digest } = stack.digest()
    const known = this.#states.get(feeds)
    if (known !== undefined && known !== digest) this.fail(`${when}: equal vectors, another digest`)
    this.#states.set(feeds, digest)
  }

  #say (name: string, graph: Graph): string {
    const known = this.mapping.known.get(name)
    const node: Node | undefined = graph.node(name)
    return `${name.slice(0, 6)} ${known?.record.feed.slice(0, 4)}…${known?.feed.slice(-4)} ${known?.seq} ${known?.kind} h${node?.height} ${node?.why ?? ''}`
  }

  #check (): void {
    const [first] = this.#devices as [Device, ...Device[]]
    const faulty = new Set<DeviceId>([...this.#liars.map(({ signer }) => signer.id), ...first.cuts.keys()])
    const { unshown } = this.peephole.view(first.stack)
    const hidden = new Map(unshown.map(found => [found.node.name, found]))
    for (const device of this.#devices) {
      for (const name of device.acked) {
        // What stands on a lost record waits for it, for ever.
        if (
          faulty.has(device.id) || [...ancestors(this.mapping.known, [name])].some(other => this.lost.has(other))
        ) continue
        const node = first.graph.node(name)
        if (node === undefined) this.fail(`an acknowledged record is gone: ${this.#say(name, first.graph)}`)
        if (node.why !== undefined) this.fail(`an acknowledged record is void: ${this.#say(name, first.graph)}`)
        const found = hidden.get(name)
        if (found === undefined) continue
        this.skipped++
        if (found.device !== undefined && !faulty.has(found.device)) this.fail(
          `an acknowledged record is not shown: ${found.why} ${this.#say(name, first.graph)}`
        )
      }
      for (const name of this.failed) if (device.graph.holds(name)) this.fail('a write that was told as failed is held')
    }
  }
}

interface Side { device: Device, session: SyncSession }

function covers (cut: DeviceCut | undefined, keep: ReadonlySet<string>, undo: boolean): boolean {
  return cut !== undefined && [...keep].every(name => cut.keep.has(name)) && (cut.undo || !undo)
}

function replicaOf ({ stack }: Device): SyncReplica {
  return {
    stacks: () => [{ key: KEY, name: NAME, digest: stack.feedsDigest() }],
    vector: () => stack.vector(), path: (_key, want) => stack.path(want), digest: () => stack.feedsDigest(), has: () => true,
    origin: () => [], wants: (_key, head) => stack.wants(head), holds: (_key, hash) => stack.holds(hash), longest: (_key, feed, below) => stack.longest(feed, below), missing: () => stack.missing(),
  }
}
