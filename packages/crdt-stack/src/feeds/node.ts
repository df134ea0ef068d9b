/**
 * One record of a stack's hash graph, and the run it stands in.
 *
 * The records of a feed form a tree by `prev`; a *strand* is a path in it. In memory the tree is kept as *runs*: unbroken paths that
 * leave another run or begin a feed. Run numbers are this device's own: they never leave it, and which branch continues a run
 * depends on what came first. The causal past of a record is one number per run: the last seq of it that is reachable.
 */
import { feedDevice, fromHex, toHex, type ChainedRecord, type DeviceId, type FeedId, type Value } from '@elder-node/protocol'
import { Past } from './causal-past.ts'

/** A record's name: its hash in hex. (feed, seq) is an address for ranges and people; two records of a fork share it. */
export type RecordName = string

/** A verified record that is held: taken into the graph, or waiting for what it names. */
export interface HeldRecord {
  readonly feed: FeedId
  readonly seq: number
  readonly name: RecordName
  /** Once its parent is known, that one's own text: thousands of copies of names are not kept. */
  prev: RecordName
  readonly deps: ReadonlyArray<{ feed: FeedId, seq: number, name: RecordName }>
  /** Hybrid logical clock of the writer: for display and ties only. */
  readonly at: number
  readonly agent: string | null
  readonly kind: string
  readonly bytes: Uint8Array
  /** What the bytes say, while that is still to be judged and shown: spares a second decoding. */
  body: Value | undefined
  /** Set where a signed head ends. */
  signature: Uint8Array | undefined
  /** The record whose signature covers this one: itself, or a later one of the batch it came in. */
  cover: RecordName
}

export interface Run {
  /** Its number in every {@link Past}. */
  readonly index: number
  readonly feed: FeedId
  /** Seq of its first record. */
  readonly from: number
  /** The record that it leaves; undefined for a run that begins its feed. */
  readonly parent: Node | undefined
  readonly nodes: Node[]
}

export class Node {
  readonly record: HeldRecord
  readonly device: DeviceId
  readonly parent: Node | undefined
  readonly deps: readonly Node[]
  readonly run: Run
  /** The node's own run is not in it: there, what comes before is. */
  readonly past: Past
  /** 1 + the greatest height it names: whatever a record names is lower than it. */
  readonly height: number
  /** Why its author broke a rule; the record and what follows on its strand is then void: it counts for causality alone. */
  why: string | undefined
  /** How many records follow it in its feed, and how many of other feeds name it. */
  children = 0
  named = 0

  constructor (record: HeldRecord, parent: Node | undefined, deps: readonly Node[], run: Run) {
    if (parent !== undefined) record.prev = parent.name
    this.record = record
    this.device = feedDevice(record.feed)
    this.parent = parent
    this.deps = deps
    this.run = run
    this.past = pastOf(parent, deps, run)
    this.height = 1 + Math.max(parent?.height ?? 0, ...deps.map(dep => dep.height))
  }

  get name (): RecordName { return this.record.name }
  get seq (): number { return this.record.seq }
  get feed (): FeedId { return this.record.feed }

  /** Does `other` lie in the causal past of this record? A record does not lie in its own. */
  sees (other: Node): boolean {
    return other.run === this.run ? other.seq < this.seq : this.past.at(other.run.index) >= other.seq
  }

  /** Does this record's own path, over `prev` alone, lead back to `other`? */
  follows (other: Node): boolean {
    let seq = this.seq - 1
    for (let run: Run | undefined = this.run; run !== undefined; run = run.parent?.run) {
      if (run === other.run) return other.seq <= seq
      seq = run.parent?.seq ?? 0
    }
    return false
  }
}

/** Highest first, then the smaller name: an order in which whatever a record names comes after it. */
export function higherFirst (a: Node, b: Node): number { return b.height - a.height || (a.name < b.name ? -1 : 1) }

/** Lowest first, then the smaller name: a causal order that is the same on every device. */
export function lowerFirst (a: Node, b: Node): number { return a.height - b.height || (a.name < b.name ? -1 : 1) }

function pastOf (parent: Node | undefined, deps: readonly Node[], run: Run): Past {
  // A record that names nothing new shares the past of the one before.
  if (deps.length === 0 && parent?.run === run) return parent.past
  const from = parent === undefined ? deps : [parent, ...deps]
  return from.reduce((past, node) => past.union(node.past).with(node.run.index, node.seq), Past.NONE)
}

/** Feed ids and kinds repeat in every record: one text each is kept. Bounded, since kinds are whatever somebody wrote. */
export class Names {
  readonly #names = new Map<string, string>()

  of<Text extends string> (text: Text): Text {
    const known = this.#names.get(text)
    if (known === undefined && this.#names.size < NAMES_MAX) this.#names.set(text, text)
    return (known ?? text) as Text
  }
}

const NAMES_MAX = 8192

/** `records` of one verified batch, as they are held. */
export function heldRecords (records: readonly ChainedRecord[], signature: Uint8Array, names: Names): HeldRecord[] {
  const cover = toHex((records.at(-1) as ChainedRecord).hash)
  return records.map(({ feed, seq, hash, prev, deps, at, agent, kind, bytes, body }, i) => ({
    feed: names.of(feed), seq, name: toHex(hash), prev: toHex(prev), at, agent: agent === null ? null : names.of(agent), kind: names.of(kind), bytes, body, cover,
    deps: deps.length === 0 ? NO_DEPS : deps.map(dep => ({ feed: names.of(dep.feed), seq: dep.seq, name: toHex(dep.hash) })),
    signature: i === records.length - 1 ? signature : undefined,
  }))
}

const NO_DEPS: HeldRecord['deps'] = []

export function hashOf (name: RecordName): Uint8Array { return fromHex(name) as Uint8Array }
