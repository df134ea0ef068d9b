/**
 * The hash graph of one stack: records are *taken* when everything they name is here, for good, and *judged* once, by the record
 * and its causal past alone. Neither depends on when or from whom a record came. The graph knows no entry: which rules a
 * body has to keep is for the view of that kind to say.
 *
 * After M. Kleppmann, "Making CRDTs Byzantine Fault Tolerant" (PaPoC 2022): hash graphs survive equivocation, version vectors do not.
 */
import { genesisHash, LIMITS, toHex, type Crypto, type Cuts, type DeviceId, type FeedId, type StackId, type VectorEntry } from '@elder-node/protocol'
import { Heads } from './heads.ts'
import { hashOf, Names, Node, type HeldRecord, type RecordName, type Run } from './node.ts'
import { prune } from './prune.ts'
import { WaitingRoom } from './waiting-room.ts'

/**
 * Why the author of this record broke a rule; undefined when it kept them all. Pure: a function of the record and its past.
 * `isOwn`: a draft of this device, whose effects the view may have at hand already.
 */
export type Judge = (node: Node, isOwn: boolean) => string | undefined

/** Names of dropped records that are remembered of one device: who has more is told of all the same. */
const DROPPED_MAX = 1_000

export interface GraphInit {
  judge: Judge
  /** Bare heads kept of one device. @default LIMITS.headsPerDeviceMax */
  headsMax?: number
}

export class Graph {
  readonly id: StackId
  readonly crypto: Crypto
  readonly names: Names = new Names()
  readonly heads: Heads
  readonly waiting: WaitingRoom = new WaitingRoom()
  readonly #judge: Judge
  readonly headsMax: number
  readonly #nodes = new Map<RecordName, Node>()
  readonly #runs: Run[] = []
  /** Indices of runs of which every record was dropped, and with them all that had seen one: nobody's past names them. */
  readonly #free: number[] = []
  /** Records that went with a prune, and whose signature covers one that stays: they are served with it, and shown to nobody. */
  readonly #aside = new Map<RecordName, HeldRecord>()
  /** Records of members that a prune dropped and that have not come back, by device: at most {@link DROPPED_MAX} of each. */
  readonly dropped: Map<DeviceId, Set<RecordName>> = new Map()
  #cuts: Cuts = new Map()
  /** Greatest hybrid clock of the records that are taken. */
  #clocks: number[] = []

  constructor (id: StackId, crypto: Crypto, { judge, headsMax = LIMITS.headsPerDeviceMax }: GraphInit) {
    this.id = id
    this.crypto = crypto
    this.#judge = judge
    this.headsMax = headsMax
    this.heads = new Heads(headsMax)
  }

  get size (): number { return this.#nodes.size }
  get cuts (): Cuts { return this.#cuts }
  node (name: RecordName): Node | undefined { return this.#nodes.get(name) }
  nodes (): Iterable<Node> { return this.#nodes.values() }
  runs (): readonly Run[] { return this.#runs }
  vector (): VectorEntry[] { return this.heads.vector() }

  /** Taken or waiting. A parked record is neither: whoever offers it is asked, since there may be room for it again. */
  holds (name: RecordName): boolean { return this.#nodes.has(name) || (this.waiting.has(name) && !this.waiting.isParked(name)) }

  /** Also one that was put aside. */
  record (name: RecordName): HeldRecord | undefined { return this.#nodes.get(name)?.record ?? this.waiting.get(name) ?? this.#aside.get(name) }

  /** The last taken record that this one, which was put aside, signs. */
  signedBy (name: RecordName): Node | undefined {
    for (let record = this.#aside.get(name); record !== undefined; record = this.#aside.get(record.prev)) {
      const node = this.#nodes.get(record.prev)
      if (node !== undefined) return node
    }
    return undefined
  }

  /** The greatest seq below `below` that is held of a feed, on any strand. */
  longest (feed: FeedId, below: number): number {
    let longest = 0
    for (const run of this.#runs) if (run.feed === feed) longest = Math.max(longest, Math.min(below - 1, run.from + run.nodes.length - 1))
    for (const { feed: other, seq, name } of this.waiting.values()) if (other === feed && seq < below && this.holds(name)) longest = Math.max(longest, seq)
    return longest
  }

  /** The latest hybrid clock that is not beyond `max`. */
  lastAt (max: number): number {
    return this.#clocks.findLast(at => at <= max) ?? 0
  }

  missing (max: number): VectorEntry[] {
    return this.waiting.missing(name => this.#nodes.has(name) || this.waiting.has(name), max).map(({ feed, seq, name }) => ({ feed, seq, hash: hashOf(name) }))
  }

  /** Everything a record names that is not taken. */
  lacks (record: HeldRecord): RecordName[] {
    const lacks = record.deps.map(dep => dep.name).filter(name => !this.#nodes.has(name))
    return record.seq > 1 && !this.#nodes.has(record.prev) ? [record.prev, ...lacks] : lacks
  }

  /** A first record, or one whose `prev` is the record of its feed before it. What is not held yet cannot be told. */
  isChained ({ feed, seq, prev }: HeldRecord): boolean {
    if (seq === 1) return prev === toHex(genesisHash(this.id, feed, this.crypto))
    const before = this.record(prev)
    return before === undefined || (before.feed === feed && before.seq === seq - 1)
  }

  /**
   * Takes a verified record, or lets it wait for what it names.
   *
   * @returns the records that became part of the graph, in causal order: none, this one, or this one and others that waited for it.
   */
  add (record: HeldRecord, onTaken?: (node: Node) => void): Node[] {
    const taken: Node[] = []
    const todo = [record]
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if (this.holds(next.name) || !this.isChained(next)) continue
      if (this.waiting.isParked(next.name)) this.waiting.unpark(next.name)
      const lacks = this.lacks(next)
      if (lacks.length > 0) {
        const parked = this.#parkedFor(lacks)
        if (parked === undefined) this.waiting.add(next, lacks)
        else todo.push(next, ...parked.map(name => this.waiting.unpark(name)))
        continue
      }
      const node = this.candidate(next)
      node.why = this.judge(node)
      this.attach(node)
      onTaken?.(node)
      taken.push(node)
      todo.push(...this.waiting.wake(node.name))
    }
    return taken
  }

  /** The parked records that lead to these; undefined when something is not here at all. */
  #parkedFor (names: readonly RecordName[]): RecordName[] | undefined {
    const found = new Set<RecordName>()
    const todo = [...names]
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (found.has(name)) continue
      if (!this.waiting.isParked(name)) return undefined
      found.add(name)
      todo.push(...this.lacks(this.waiting.get(name) as HeldRecord))
    }
    return [...found]
  }

  /** The node that a record would be, after `before` (a draft) or what it names. It is not part of the graph until {@link attach}. */
  candidate (record: HeldRecord, before: Node | undefined = this.#nodes.get(record.prev)): Node {
    const deps = record.deps.map(dep => this.#nodes.get(dep.name) as Node)
    return new Node(record, before, deps, this.#runFor(record, before))
  }

  /** Why a candidate is void, if it is. */
  judge (node: Node, isOwn = false): string | undefined {
    if (node.parent?.why !== undefined) return 'it follows a void record'
    for (const [i, dep] of node.deps.entries()) {
      const said = node.record.deps[i] as HeldRecord['deps'][number]
      if (dep.feed !== said.feed || dep.seq !== said.seq) return 'a dep is not the record it says'
      if (node.parent !== undefined && (node.parent === dep || node.parent.sees(dep))) return 'a dep was known before'
    }
    return this.#judge(node, isOwn)
  }

  attach (node: Node): void {
    const { run } = node
    if (run.nodes.length === 0) {
      this.#runs[run.index] = run
      if (this.#free.at(-1) === run.index) this.#free.pop()
    }
    run.nodes.push(node)
    this.#nodes.set(node.name, node)
    this.heads.add(node)
    this.#aside.delete(node.name)
    this.dropped.get(node.device)?.delete(node.name)
    this.#remember(node.record.at)
  }

  /** @returns whether the cuts are others than before: what is shown must be computed again. */
  setCuts (cuts: Cuts): boolean {
    const isSame = cuts.size === this.#cuts.size && [...cuts].every(([device, { keep, undo }]) => {
      const before = this.#cuts.get(device)
      return before !== undefined && before.undo === undo && before.keep.size === keep.size && [...keep].every(name => before.keep.has(name))
    })
    this.#cuts = cuts
    return !isSame
  }

  /** Does the record of an evicted device lie beyond its cut? Inside is what lies in the past of a kept head. */
  isBeyondCut (node: Node): boolean {
    const cut = this.#cuts.get(node.device)
    if (cut === undefined) return false
    for (const name of cut.keep) {
      const kept = this.#nodes.get(name)
      if (kept !== undefined && (kept === node || kept.sees(node))) return false
    }
    return true
  }

  /** Is it a head that a cut names? What lies in its past is masked until it comes. */
  isKeptHead (node: Node): boolean { return [...this.#cuts.values()].some(({ keep }) => keep.has(node.name)) }

  /** Is nothing of this record shown, though it may be valid? */
  isMasked (node: Node): boolean {
    return this.#cuts.get(node.device)?.undo === true || this.isBeyondCut(node)
  }

  /** Drops what the bounds do not keep; see {@link prune}. @returns how many records went */
  prune (): number { return prune(this) }

  /** For {@link prune}: `node` must be a head. */
  drop (node: Node): void {
    node.run.nodes.pop()
    if (node.run.nodes.length === 0) this.#free.push(node.run.index)
    this.#nodes.delete(node.name)
    this.heads.remove(node)
    if (this.waiting.park(node.record)) return
    this.#putAside(node)
    if (!this.#cuts.has(node.device)) this.#noteDropped(node)
  }

  /** By name: others offer what was dropped again and again. */
  #noteDropped ({ device, name }: Node): void {
    const names = this.dropped.get(device) ?? new Set()
    if (names.size < DROPPED_MAX) this.dropped.set(device, names.add(name))
  }

  /**
   * A record that stays and has no signature of its own keeps what leads to the one that signs it: without that nobody could be
   * served. It may have come in another batch than the records between, so the whole window is looked at.
   */
  #putAside (node: Node): void {
    const covers = coversBelow(node)
    if (covers.has(node.name) || this.#isOnTheWay(node.name, covers)) {
      this.#aside.set(node.name, node.record)
      return
    }
    for (let record = this.#aside.get(node.record.cover); record !== undefined && !covers.has(record.name); record = this.#aside.get(record.prev)) this.#aside.delete(record.name)
  }

  #isOnTheWay (name: RecordName, covers: ReadonlySet<RecordName>): boolean {
    for (const cover of covers) {
      for (let record = this.#aside.get(cover); record !== undefined; record = this.#aside.get(record.prev)) if (record.prev === name) return true
    }
    return false
  }

  #runFor (record: HeldRecord, before: Node | undefined): Run {
    const tip = before?.run
    if (before !== undefined && tip !== undefined && (tip.nodes.at(-1) === before || before.run.nodes[before.seq - before.run.from] !== before)) return tip
    return { index: this.#free.at(-1) ?? this.#runs.length, feed: record.feed, from: record.seq, parent: before, nodes: [] }
  }

  /** A few of the latest clocks: those far ahead of ours are not followed, and must not hide the others. */
  #remember (at: number): void {
    const clocks = this.#clocks
    if (clocks.length > 0 && at <= (clocks[0] as number) && clocks.length >= CLOCKS) return
    if (at > (clocks.at(-1) ?? -1)) clocks.push(at)
    else clocks.splice(clocks.findIndex(other => other >= at), 0, at)
    if (clocks.length > CLOCKS) clocks.shift()
  }
}

const CLOCKS = 64

/** Names of the records that sign those before this one in its window. */
function coversBelow (node: Node): Set<RecordName> {
  const windowOf = (seq: number): number => Math.floor((seq - 1) / LIMITS.batchRecordsMax)
  const covers = new Set<RecordName>()
  for (let at = node.parent; at !== undefined && windowOf(at.seq) === windowOf(node.seq); at = at.parent) {
    if (at.record.signature === undefined) covers.add(at.record.cover)
  }
  return covers
}
