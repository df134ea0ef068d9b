/**
 * Batches from outside: verified, stored, then taken. What is wrong in itself is dropped and its sender blamed; everything else
 * is kept within bounds that count for each device by itself.
 */
import { codeOf, feedDevice, type Batch, type DeviceId } from '@elder-node/protocol'
import type { Graph } from './graph.ts'
import { inspect, type Intake } from './intake.ts'
import type { HeldRecord, Node } from './node.ts'
import type { FeedStore } from './store.ts'

export interface ReceiverComponents {
  graph: Graph
  store: FeedStore
  self: DeviceId
  /** May feeds of this device be taken? */
  mayWrite: (device: DeviceId) => boolean
  onTaken: (node: Node) => void
  /** Records of this own feed came from outside: it must not be continued. */
  onOwn: (record: HeldRecord) => void
  /** Another device's feed is about to show its first second strand here: names, in a record of our own, what is held of it. */
  pin: (device: DeviceId) => Promise<void>
}

/** Counts of records. */
export interface Taken { accepted: number, duplicate: number, waiting: number, refused: number }

export class Receiver {
  readonly #parts: ReceiverComponents

  constructor (components: ReceiverComponents) { this.#parts = components }

  /**
   * Takes batches in order. Resolves when what was new is durable and taken.
   *
   * @throws MalformedError for the first batch that is wrong in itself, ElderError `DISK_FULL`, `STORAGE`; the batches before it count.
   */
  async receive (batches: readonly Batch[]): Promise<Taken> {
    const taken: Taken = { accepted: 0, duplicate: 0, waiting: 0, refused: 0 }
    const inspected = this.#inspect(batches, taken)
    const before = this.#parts.graph.size
    await this.#store(inspected.good, taken)
    taken.accepted = this.#parts.graph.size - before
    taken.waiting = this.#parts.graph.waiting.size
    if (inspected.error !== undefined) throw inspected.error
    return taken
  }

  #inspect (batches: readonly Batch[], taken: Taken): { good: Intake[], error?: unknown } {
    const good: Intake[] = []
    for (const batch of batches) {
      if (!this.#parts.mayWrite(feedDevice(batch.feed))) {
        taken.refused += batch.records.length
        continue
      }
      try {
        const intake = inspect(this.#parts.graph, batch)
        taken.duplicate += batch.records.length - intake.fresh.length
        if (intake.batch !== undefined) good.push(intake)
      } catch (error) {
        if (codeOf(error) !== 'MALFORMED') throw error
        return { good, error }
      }
    }
    return { good }
  }

  /** Stores what can be kept, then takes it. One batch after the other where a deed of ours comes first, else as one. */
  async #store (intakes: readonly Intake[], taken: Taken): Promise<void> {
    const named = new Set(intakes.flatMap(({ fresh }) => [
      (fresh[0] as HeldRecord).prev, ...fresh.flatMap(({ deps }) => deps.map(({ name }) => name)),
    ]))
    let group: Intake[] = []
    for (const intake of intakes) {
      if (this.#isSpecial(intake.fresh[0] as HeldRecord)) {
        await this.#append(group, named, taken)
        group = []
        await this.#prepare(intake.fresh[0] as HeldRecord)
      }
      group.push(intake)
    }
    await this.#append(group, named, taken)
  }

  /** `named`: by any record that comes with these. */
  async #append (intakes: readonly Intake[], named: ReadonlySet<string>, taken: Taken): Promise<void> {
    const { graph, store, onTaken } = this.#parts
    const coming = new Set(intakes.flatMap(({ fresh }) => fresh.map(({ name }) => name)))
    const isWanted = (fresh: readonly HeldRecord[]): boolean => fresh.some(({ name }) => named.has(name)) || !this.#isHopeless(fresh, named)
    const roomy = intakes.filter(({ fresh }) => this.#hasRoom(fresh, coming))
    for (const intake of intakes) if (!roomy.includes(intake)) graph.waiting.turnAway(intake.fresh)
    const kept = roomy.filter(({ fresh }) => isWanted(fresh))
    for (const intake of intakes) if (!kept.includes(intake)) taken.refused += intake.fresh.length
    const stored = await Promise.allSettled(kept.map(({ batch }) => store.append([batch as Batch])))
    stored.forEach(({ status }, i) => {
      if (status !== 'fulfilled') return
      for (const record of (kept[i] as Intake).fresh) graph.add(record, onTaken)
    })
    const failed = stored.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  /** Room in the share of its device, for a batch that will not be taken at once. */
  #hasRoom (fresh: readonly HeldRecord[], coming: ReadonlySet<string>): boolean {
    const { graph } = this.#parts
    const waits = fresh.some(record => graph.lacks(record).some(name => !coming.has(name)))
    return !waits || graph.waiting.hasRoom(fresh)
  }

  /** A new strand, of a device with as many bare heads as it may have, that is lower than each of them and that nothing here waits for. */
  #isHopeless (fresh: readonly HeldRecord[], named: ReadonlySet<string>): boolean {
    const { graph } = this.#parts
    const first = fresh[0] as HeldRecord
    const parent = graph.node(first.prev)
    if (first.seq > 1 && (parent === undefined || parent.children === 0)) return false
    const bare = graph.heads.bareOf(feedDevice(first.feed)).filter(({ name }) => !named.has(name))
    if (bare.length < graph.headsMax) return false
    if (fresh.some(record => graph.lacks(record).some(name => name !== record.prev) || graph.waiting.isNamed(record.name))) return false
    const lowest = Math.min(...bare.map(node => node.height))
    return heightOf(graph, fresh) < lowest
  }

  #isSpecial (record: HeldRecord): boolean {
    return feedDevice(record.feed) === this.#parts.self || this.#forks(record)
  }

  async #prepare (record: HeldRecord): Promise<void> {
    const { store, self, onOwn, pin } = this.#parts
    const device = feedDevice(record.feed)
    if (device !== self) return await pin(device)
    // Evidence first: a life that begins after the deed must know, whenever this one ends.
    await store.forgetCleanEnd()
    onOwn(record)
  }

  /** Does this record begin a second strand of its feed? */
  #forks ({ feed, seq, prev }: HeldRecord): boolean {
    const { graph } = this.#parts
    if (seq > 1) return (graph.node(prev)?.children ?? 0) > 0
    return graph.runs().some(run => run.feed === feed && run.from === 1 && run.nodes.length > 0)
  }
}

function heightOf (graph: Graph, records: readonly HeldRecord[]): number {
  let height = graph.node((records[0] as HeldRecord).prev)?.height ?? 0
  for (const { deps } of records) height = 1 + Math.max(height, ...deps.map(({ name }) => graph.node(name)?.height ?? 0))
  return height
}
