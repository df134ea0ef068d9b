import type { MeshId } from '../ids.ts'
import type { MemberRecord } from './record.ts'

/** The records of one mesh by hash, and what each of them had behind it. Records of other meshes are left out. */
export class Graph {
  readonly mesh: MeshId
  /** Ascending by hash, so that nothing computed from it depends on the order of arrival. */
  readonly records: readonly MemberRecord[]
  readonly #byHash: ReadonlyMap<string, MemberRecord>
  readonly #depths = new Map<string, number>()
  readonly #pasts = new Map<string, ReadonlySet<string>>()

  constructor (records: Iterable<MemberRecord>, mesh: MeshId) {
    this.mesh = mesh
    const byHash = new Map<string, MemberRecord>()
    for (const record of records) if (record.mesh === mesh) byHash.set(record.hash, record)
    this.#byHash = byHash
    this.records = [...byHash.values()].sort((a, b) => a.hash < b.hash ? -1 : 1)
  }

  get (hash: string | null): MemberRecord | undefined { return hash === null ? undefined : this.#byHash.get(hash) }

  /**
   * Hashes of the record itself and of everything known before it: what it names as seen, and what it stands on. Its issuer knew its own
   * grant, also where the records in between are missing, as in what a door shows.
   */
  past (record: MemberRecord): ReadonlySet<string> {
    const known = this.#pasts.get(record.hash)
    if (known !== undefined) return known
    const past = new Set([record.hash])
    for (const hash of past) for (const before of this.before(hash)) past.add(before)
    this.#pasts.set(record.hash, past)
    return past
  }

  /** Is everything here that these records know of? With a hole in its past nobody can say what a record had not seen. */
  isWhole (records: Iterable<MemberRecord>): boolean {
    const past = new Set([...records].map(({ hash }) => hash))
    for (const hash of past) for (const before of this.before(hash)) past.add(before)
    return [...past].every(hash => this.get(hash) !== undefined)
  }

  /** Hashes that the record names; none when it is not here. */
  before (hash: string): string[] {
    const record = this.get(hash)
    return record === undefined ? [] : [...record.prev, ...supportsOf(record)]
  }

  /** The longest known way back to a record without predecessors. */
  depth (record: MemberRecord): number {
    const before = ({ prev }: MemberRecord): MemberRecord[] => prev.map(hash => this.get(hash)).filter(found => found !== undefined)
    return remembered(this.#depths, record, before, found => Math.max(-1, ...before(found).map(({ hash }) => this.#depths.get(hash) ?? -1)) + 1)
  }

  /** Causal order first, then the issuer's clock, then the hash: total, and the same on every device with the same records. */
  compare (a: MemberRecord, b: MemberRecord): number {
    return this.depth(a) - this.depth(b) || a.at - b.at || (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0)
  }

  /** Hashes that no other record names: what the next record puts in `prev`. */
  heads (): string[] {
    const named = new Set(this.records.flatMap(record => record.prev))
    return this.records.filter(record => !named.has(record.hash)).map(record => record.hash)
  }
}

/** The records a record stands on: its issuer's grant and the ticket it redeems. */
export function supportsOf (record: MemberRecord): string[] {
  const ticket = record.content.type === 'member' ? record.content.via?.ticket : undefined
  return [record.grant, ticket].filter(hash => typeof hash === 'string')
}

/**
 * The answer for one record, where the answers for those it needs come first. Without recursion: who made the records chose how long their
 * chains are. Hash links form no circle, so this ends.
 */
export function remembered<Answer> (answers: Map<string, Answer>, record: MemberRecord, needs: (record: MemberRecord) => MemberRecord[], answer: (record: MemberRecord) => Answer): Answer {
  const waiting = [record]
  for (let next = waiting.at(-1); next !== undefined; next = waiting.at(-1)) {
    const missing = answers.has(next.hash) ? [] : needs(next).filter(({ hash }) => !answers.has(hash))
    if (missing.length > 0) {
      waiting.push(...missing)
      continue
    }
    if (!answers.has(next.hash)) answers.set(next.hash, answer(next))
    waiting.pop()
  }
  return answers.get(record.hash) as Answer
}
