/**
 * A deterministic world for pure machines: one virtual clock, one seeded source of randomness, links that lose, duplicate,
 * delay and reorder, partitions, crashes and restarts. Same seed, same trace hash.
 *
 * Model: radicle heartwood's test/simulator.rs and TigerBeetle's VOPR.
 */
import { createHash } from 'node:crypto'
import { EventQueue } from './event-queue.ts'
import { seededRandom } from './random.ts'

export { seededRandom } from './random.ts'

export interface Links {
  /** Probability that a message is lost. */
  loss: number
  /** Probability that it arrives twice. */
  duplicate: number
  /** One-way delay in milliseconds, drawn uniformly: differing delays reorder. */
  delayMs: [min: number, max: number]
}

export interface Actor<Message> {
  /** A message arrived. */
  receive: (from: string, message: Message, now: number) => void
  /** A timer set with {@link World.wake} is due; `tag` says which. */
  wake: (tag: string, now: number) => void
}

type Event =
  | { at: number, order: number, type: 'deliver', from: string, to: string, message: unknown, life: number }
  | { at: number, order: number, type: 'wake', to: string, tag: string, life: number }
  | { at: number, order: number, type: 'do', act: () => void }

export class World<Message> {
  now = 0
  readonly random: () => number
  readonly #links: Links
  readonly #actors = new Map<string, { actor: Actor<Message>, life: number, drift: number }>()
  readonly #queue = new EventQueue<Event>()
  readonly #trace = createHash('sha256')
  #groups: Map<string, number> | undefined
  #order = 0
  /** Counters for reports. */
  events = 0
  sent = 0

  constructor (seed: number, links: Links) {
    this.random = seededRandom(seed)
    this.#links = links
  }

  /** Adds or restarts an actor: messages and timers of its former life never arrive. `drift` scales its clock (1.02 runs fast). */
  spawn (name: string, actor: Actor<Message>, drift = 1): void {
    const life = (this.#actors.get(name)?.life ?? 0) + 1
    this.#actors.set(name, { actor, life, drift })
    this.trace('spawn', name)
  }

  crash (name: string): void {
    const node = this.#actors.get(name)
    if (node !== undefined) this.#actors.set(name, { ...node, life: node.life + 1, actor: { receive () {}, wake () {} } })
    this.trace('crash', name)
  }

  /** Only actors of one group hear each other; actors in no group hear nobody. */
  partition (groups: string[][]): void {
    this.#groups = new Map(groups.flatMap((group, i) => group.map(name => [name, i] as const)))
    this.trace('partition', JSON.stringify(groups))
  }

  heal (): void {
    this.#groups = undefined
    this.trace('heal', '')
  }

  connected (a: string, b: string): boolean {
    return this.#groups === undefined || (this.#groups.get(a) !== undefined && this.#groups.get(a) === this.#groups.get(b))
  }

  send (from: string, to: string, message: Message): void {
    this.sent++
    const copies = this.random() < this.#links.loss ? 0 : this.random() < this.#links.duplicate ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const [min, max] = this.#links.delayMs
      const life = this.#actors.get(to)?.life ?? 0
      this.#queue.push({ at: this.now + min + this.random() * (max - min), order: this.#order++, type: 'deliver', from, to, message, life })
    }
  }

  /** Calls the actor's `wake(tag)` after `ms` of its own, possibly drifting, clock. */
  wake (name: string, ms: number, tag: string): void {
    const node = this.#actors.get(name)
    if (node !== undefined) this.#queue.push({ at: this.now + ms / node.drift, order: this.#order++, type: 'wake', to: name, tag, life: node.life })
  }

  /** The actor's own clock, milliseconds. */
  clockOf (name: string): number { return this.now * (this.#actors.get(name)?.drift ?? 1) }

  /** Runs `act` at the given virtual time: faults and workload. */
  at (ms: number, act: () => void): void { this.#queue.push({ at: ms, order: this.#order++, type: 'do', act }) }

  trace (what: string, detail: string): void { this.#trace.update(`${this.now.toFixed(3)} ${what} ${detail}\n`) }

  hash (): string { return this.#trace.copy().digest('hex') }

  /** Runs every event up to the given virtual time. */
  run (untilMs: number): void {
    for (let next = this.#queue.first; next !== undefined && next.at <= untilMs; next = this.#queue.first) {
      this.#queue.pop()
      this.now = Math.max(this.now, next.at)
      this.events++
      this.#step(next)
    }
    this.now = untilMs
  }

  /** The same for actors whose work ends in promises: each event's promises are settled before the next event. */
  async runAsync (untilMs: number): Promise<void> {
    for (let next = this.#queue.first; next !== undefined && next.at <= untilMs; next = this.#queue.first) {
      this.#queue.pop()
      this.now = Math.max(this.now, next.at)
      this.events++
      this.#step(next)
      await new Promise<void>(resolve => { setImmediate(resolve) })
    }
    this.now = untilMs
  }

  #step (event: Event): void {
    if (event.type === 'do') return event.act()
    const node = this.#actors.get(event.to)
    if (node === undefined || node.life !== event.life) return
    if (event.type === 'wake') {
      this.trace('wake', `${event.to} ${event.tag}`)
      return node.actor.wake(event.tag, this.clockOf(event.to))
    }
    if (!this.connected(event.from, event.to)) return
    this.trace('deliver', `${event.from} ${event.to}`)
    node.actor.receive(event.from, event.message as Message, this.clockOf(event.to))
  }
}
