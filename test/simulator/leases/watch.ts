/**
 * Looks at builders and waiting builds from outside, as nobody in the world can: is a slot wasted, and for how long?
 */
import type { BuildId, ClaimWord, DeviceId, SlotMachine } from '@elder-node/protocol'

export interface SeenHost { machine: SlotMachine, slots: number }
export interface WaitingBuild { build: BuildId, requester: string }

/** Longer than a stall of both sides and several lost words, shorter than anything that happens only by a renewal. */
const IDLE_MS_MAX = 6_000
const ASKED_MS = 100
/** Of the 30 s of a reservation, on the slowest clock. */
const RESERVED_MS = 29_000

/** How long a pair of a free slot and a build that waits for it has been able to meet. */
export class IdleWatch {
  readonly #since = new Map<string, number>()
  readonly #kept = new Map<string, { leases: string, sinceMs: number }>()

  /** `meet`: both are awake and hear each other. Answers what is wrong. */
  look (hosts: Map<string, SeenHost>, waiting: WaitingBuild[], meet: (host: string, requester: string) => boolean, now: number): string[] {
    const pairs = new Set<string>()
    const wrong: string[] = []
    for (const [name, { machine, slots }] of hosts) {
      const leases = machine.leases()
      if (this.#isKept(name, machine, slots, now)) wrong.push('a slot is kept for a requester that does not answer')
      if (leases.length >= slots) continue
      for (const { build, requester } of waiting) {
        if (meet(name, requester) && !leases.some(lease => lease.build === build)) pairs.add(`${name} ${build}`)
      }
    }
    for (const name of this.#kept.keys()) if (!hosts.has(name)) this.#kept.delete(name)
    for (const pair of this.#since.keys()) if (!pairs.has(pair)) this.#since.delete(pair)
    for (const pair of pairs) if (!this.#since.has(pair)) this.#since.set(pair, now)
    if ([...this.#since.values()].some(since => now - since > IDLE_MS_MAX)) wrong.push('a slot stood free beside a build that waited')
    return wrong
  }

  #isKept (name: string, machine: SlotMachine, slots: number, now: number): boolean {
    const leases = machine.leases().map(lease => lease.id).join()
    const last = this.#kept.get(name)
    const idle = machine.leases().length < slots && machine.free === 0
    if (!idle || last?.leases !== leases) this.#kept.set(name, { leases, sinceMs: now })
    return idle && last?.leases === leases && now - last.sinceMs > IDLE_MS_MAX
  }
}

/** Who has a reservation at a builder, and whom it has asked about a free slot. */
export class LineWatch {
  readonly #asked = new Map<string, number>()
  readonly #known = new Set<string>()
  readonly #reserved = new Map<string, number>()

  heard (from: DeviceId, word: ClaimWord): void {
    const key = `${from} ${word.build}`
    this.#asked.delete(key)
    if (word.type === 'reserve') this.#known.delete(key)
    if (word.type === 'claim' || word.type === 'release' || word.type === 'gone') this.#reserved.delete(key)
  }

  said (to: DeviceId, word: ClaimWord, now: number): void {
    const key = `${to} ${word.build}`
    if (word.type === 'bind') this.#asks(key, now)
    if (word.type === 'reserved') this.#reserved.set(key, now)
    if (word.type === 'grant') this.#reserved.delete(key)
  }

  /** True when a reservation is missing that was neither used nor given up nor too old. */
  dropped ({ machine }: SeenHost, now: number): boolean {
    return [...this.#reserved.values()].filter(at => now - at < RESERVED_MS).length > machine.queue
  }

  #asks (key: string, now: number): void {
    if (!this.#known.has(key)) this.#asked.set(key, now)
    this.#known.add(key)
  }

  /** True when a claim was granted although nothing was left but what the line was asked about. */
  overtaken ({ machine, slots }: SeenHost, now: number): boolean {
    const open = [...this.#asked.values()].filter(at => now - at < ASKED_MS).length
    return machine.leases().length + open > slots && open > 0
  }
}

/** How long freed slots stood idle while somebody was in line, and given ones until their build came, milliseconds. */
export class IdleTimes {
  readonly #freed = new Map<string, number[]>()
  readonly #given = new Map<string, number>()
  readonly free: number[] = []
  readonly given: number[] = []

  becameFree (host: string, now: number): void { this.#freed.set(host, [...this.#freed.get(host) ?? [], now]) }

  gave (host: string, lease: string, now: number): void {
    const at = this.#freed.get(host)?.shift()
    if (at !== undefined) this.free.push(now - at)
    this.#given.set(`${host} ${lease}`, now)
  }

  began (host: string, lease: string, now: number): void {
    const at = this.#given.get(`${host} ${lease}`)
    if (at !== undefined) this.given.push(now - at)
  }

  /** The line is empty: nobody is kept waiting. */
  forget (host: string): void { this.#freed.delete(host) }
}

export function quantile (times: number[], q: number): number { return times.toSorted((a, b) => a - b)[Math.floor(q * (times.length - 1))] ?? NaN }
