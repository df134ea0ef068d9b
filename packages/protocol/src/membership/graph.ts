import type { MeshId } from '../ids.ts'
import type { MemberRecord } from './record.ts'

/** The records of one mesh by hash, and what each of them had behind it. Records of other meshes are left out. */
export class Graph {
  /** Ascending by hash, so that nothing computed from it depends on the order of arrival. */
  readonly records: readonly MemberRecord[]
  readonly #byHash: ReadonlyMap<string, MemberRecord>
  readonly #depths = new Map<string, number>()
  readonly #pasts = new Map<string, ReadonlySet<string>>()

  constructor (records: Iterable<MemberRecord>, mesh: MeshId) {
    const byHash = new Map<string, MemberRecord>()
    for (const record of records) if (record.mesh === mesh) byHash.set(record.hash, record)
    this.#byHash = byHash
    this.records = [...byHash.values()].sort((a, b) => a.hash < b.hash ? -1 : 1)
  }

  get (hash: string | null): MemberRecord | undefined { return hash === null ? undefined : this.#byHash.get(hash) }

  /** Hashes of the record itself and of everything known before it. */
  past (record: MemberRecord): ReadonlySet<string> {
    const known = this.#pasts.get(record.hash)
    if (known !== undefined) return known
    const past = new Set([record.hash])
    for (const hash of past) for (const before of this.get(hash)?.prev ?? []) past.add(before)
    this.#pasts.set(record.hash, past)
    return past
  }

  /** The longest known way back to a record without predecessors. */
  depth (record: MemberRecord): number {
    const known = this.#depths.get(record.hash)
    if (known !== undefined) return known
    let depth = 0
    for (const hash of record.prev) {
      const before = this.get(hash)
      if (before !== undefined) depth = Math.max(depth, this.depth(before) + 1)
    }
    this.#depths.set(record.hash, depth)
    return depth
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
