/**
 * This device's own feed: drafts records, judges them before they are signed, and signs one head per batch. A draft is part of
 * nothing until it is stored: readers, peers, mirrors and digests never see it.
 *
 * A feed of which a record came from outside, whose write was told as failed, or that did not end cleanly is never continued: a
 * new incarnation opens, and its first record names all own heads.
 */
import {
  deviceId, ElderError, encodeRecord, feedDevice, feedId, genesisHash, LIMITS, nextAt, recordHash, risingPlaces, signHead, toHex,
  type Batch, type Dep, type DeviceId, type FeedId, type Signer, type Value,
} from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { hashOf, higherFirst, type HeldRecord, type Node } from './node.ts'

/** A clock, another device's or our own of earlier, is followed at most this far ahead of the one we have now. */
const AHEAD_MS_MAX = 300_000
/** A clock further on (the year 2112) writes this date: a record of which the date is no count could be read by nobody. */
const WALL_MS_MAX = 2 ** 52 / 1024
const INCARNATION_BYTES = 8

export interface WriterComponents { graph: Graph, signer: Signer, wallMs: () => number, random: (n: number) => Uint8Array }

export class Writer {
  readonly device: DeviceId
  readonly #graph: Graph
  readonly #signer: Signer
  readonly #wallMs: () => number
  readonly #random: (n: number) => Uint8Array
  #feed: FeedId | undefined
  #tip: Node | undefined
  #drafts: Node[] = []

  constructor ({ graph, signer, wallMs, random }: WriterComponents) {
    this.device = deviceId(signer.publicKey)
    this.#graph = graph
    this.#signer = signer
    this.#wallMs = wallMs
    this.#random = random
  }

  /** The feed that is written to; undefined before the first write, and after it was retired. */
  get feed (): FeedId | undefined { return this.#feed }
  /** Its last durable record. */
  get tip (): Node | undefined { return this.#tip }

  /** Goes on with a feed of an earlier life: only when it is certain that nothing went on elsewhere. */
  resume (tip: Node): void {
    this.#feed = tip.feed
    this.#tip = tip
  }

  /** Never writes to the present feed again. */
  retire (): void {
    this.#feed = undefined
    this.#tip = undefined
    this.#drafts = []
  }

  /** Call before the first draft of a batch. @returns the feed that the drafts will stand in */
  begin (): FeedId {
    this.#drafts = []
    this.#feed ??= feedId(this.device, this.#random(INCARNATION_BYTES))
    return this.#feed
  }

  /** How many drafts there are: {@link cutBack} to it takes back what came later. */
  get drafted (): number { return this.#drafts.length }
  cutBack (drafted: number): void { this.#drafts.length = drafted }

  /**
   * Makes and judges one record. `needs`: records that it builds on, which it must be able to see.
   *
   * @throws ElderError `TOO_LARGE`, `AGENT_NAME`; nothing is changed then.
   */
  draft (kind: string, body: Value, agent: string | undefined, needs: readonly Node[] = []): Node {
    let deps = this.#unseen(needs)
    for (; deps.length > LIMITS.depsMax; deps = deps.slice(LIMITS.depsMax)) this.#draft('see', {}, undefined, deps.slice(0, LIMITS.depsMax))
    return this.#draft(kind, body, agent, deps)
  }

  /** Signs what was drafted, in batches within the bounds. */
  sign (): Batch[] {
    const out: Batch[] = []
    for (let at = 0; at < this.#drafts.length;) {
      const nodes = this.#drafts.slice(at, at + batchLength(this.#drafts, at))
      const last = nodes.at(-1) as Node
      const head = signHead(this.#graph.id, last.feed, last.seq, hashOf(last.name), this.#signer)
      for (const { record } of nodes) record.cover = last.name
      last.record.signature = head.signature
      out.push({ feed: last.feed, from: (nodes[0] as Node).seq, records: nodes.map(({ record }) => record.bytes), head })
      at += nodes.length
    }
    return out
  }

  /** The drafts are durable. @returns them, for the graph and the view to take */
  commit (): Node[] {
    const nodes = this.#drafts
    this.#drafts = []
    this.#tip = nodes.at(-1) ?? this.#tip
    return nodes
  }

  #draft (kind: string, body: Value, agent: string | undefined, deps: readonly Node[]): Node {
    const graph = this.#graph
    const feed = this.#feed as FeedId
    if (agent !== undefined && (agent.length === 0 || agent.length > 64)) throw new ElderError('AGENT_NAME', 'the name of an agent has 1 to 64 characters', 'Give a shorter name with --as.')
    const before = this.#drafts.at(-1) ?? this.#tip
    const seq = (before?.seq ?? 0) + 1
    const places: Dep[] = risingPlaces(deps.map(dep => ({ feed: dep.feed, seq: dep.seq, hash: hashOf(dep.name) })))
    const prev = before === undefined ? genesisHash(graph.id, feed, graph.crypto) : hashOf(before.name)
    const at = this.#at(before)
    const bytes = encodeRecord({ seq, prev, deps: places, at, agent: agent ?? null, kind, body })
    if (bytes.length > LIMITS.recordBytesMax) throw new ElderError('TOO_LARGE', `this change takes ${bytes.length} bytes; a record holds ${LIMITS.recordBytesMax}`, 'Split it into several entries or smaller edits.')
    const name = toHex(recordHash(bytes, graph.crypto))
    const record: HeldRecord = {
      feed: graph.names.of(feed), seq, name, prev: toHex(prev), at, agent: agent ?? null, kind, bytes, body, signature: undefined, cover: name,
      deps: places.map(dep => ({ feed: graph.names.of(dep.feed), seq: dep.seq, name: toHex(dep.hash) })),
    }
    const node = graph.candidate(record, before)
    const why = graph.judge(node, true)
    if (why !== undefined) throw new Error(`other devices would not show this change: ${why}`)
    this.#drafts.push(node)
    return node
  }

  /**
   * Every bare head outside the past of the own feed, highest first. Of another device at most `headsMax` strands in
   * all, so that nobody makes us name without end; but always what the record builds on.
   */
  #unseen (needs: readonly Node[]): Node[] {
    const before = this.#drafts.at(-1) ?? this.#tip
    const isSeen = (node: Node): boolean => before !== undefined && (before === node || before.sees(node))
    const heads = [...this.#graph.heads.bare()].filter(node => node.feed !== this.#feed && !isSeen(node)).sort(higherFirst)
    const strands = strandsSeen(this.#graph, before)
    return heads.filter(node => {
      const many = strands.get(node.device) ?? 0
      const isMany = many >= this.#graph.headsMax && node.device !== this.device
      if (isMany && !needs.some(other => other === node || node.sees(other))) return false
      strands.set(node.device, many + 1)
      return true
    })
  }

  #at (before: Node | undefined): number {
    const now = Math.min(this.#wallMs(), WALL_MS_MAX)
    const ahead = (now + AHEAD_MS_MAX) * 1024
    const own = before !== undefined && before.record.at <= ahead ? before.record.at : 0
    return nextAt(Math.max(own, this.#graph.lastAt(ahead)), now)
  }
}

/** Runs of each device in the past of a record. */
function strandsSeen (graph: Graph, before: Node | undefined): Map<DeviceId, number> {
  const strands = new Map<DeviceId, number>()
  if (before === undefined) return strands
  for (const i of before.past.runs()) {
    const run = graph.runs()[i]
    if (run !== undefined) strands.set(feedDevice(run.feed), (strands.get(feedDevice(run.feed)) ?? 0) + 1)
  }
  return strands
}

/** Records from `start` on that fit one batch: within its bounds and across no multiple of 256. */
function batchLength (drafts: readonly Node[], start: number): number {
  const first = drafts[start] as Node
  const block = Math.ceil(first.seq / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax
  let bytes = first.record.bytes.length
  let end = start + 1
  while (end < drafts.length && (drafts[end] as Node).seq <= block && (bytes += (drafts[end] as Node).record.bytes.length) <= LIMITS.batchBytesMax) end++
  return end - start
}
