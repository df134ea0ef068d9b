/** One feed in memory: its record bytes, hashes and signed heads, as they were received. */
import { genesisHash, LIMITS, type Batch, type Crypto, type FeedId, type Head, type StackId } from '@elder-node/protocol'

const HASH = 32

export class FeedLog {
  readonly feed: FeedId
  readonly records: Uint8Array[] = []
  readonly heads: Head[] = []
  // One buffer instead of ten thousand small arrays; entry 0 is the genesis hash.
  #hashes: Uint8Array = new Uint8Array(HASH * 16)

  constructor (stack: StackId, feed: FeedId, crypto: Crypto) {
    this.feed = feed
    this.#hashes.set(genesisHash(stack, feed, crypto))
  }

  get length (): number { return this.records.length }

  /** Hash of record `seq`; of 0, the feed's genesis. `seq` must be at most {@link length}. */
  hashAt (seq: number): Uint8Array { return this.#hashes.subarray(seq * HASH, (seq + 1) * HASH) }

  push (bytes: Uint8Array, hash: Uint8Array): void {
    this.records.push(bytes)
    const at = this.records.length * HASH
    if (at + HASH > this.#hashes.length) {
      const grown = new Uint8Array(this.#hashes.length * 2)
      grown.set(this.#hashes)
      this.#hashes = grown
    }
    this.#hashes.set(hash, at)
  }

  /** Takes back records that could not be stored. */
  truncate (length: number): void {
    this.records.length = length
    while ((this.heads.at(-1)?.seq ?? 0) > length) this.heads.pop()
  }

  /**
   * Signed batches that cover `from` to `to`, as far as there are records: each starts where the one before ended, stays within
   * LIMITS.batchRecordsMax and batchBytesMax, crosses no multiple of 256 and ends at a stored head (so the last may end beyond `to`).
   */
  batches (from: number, to: number): Batch[] {
    const batches: Batch[] = []
    for (let at = Math.max(1, from); at <= Math.min(to, this.length);) {
      const head = this.#headFrom(at, to)
      if (head === undefined) break
      batches.push({ feed: this.feed, from: at, records: this.records.slice(at - 1, head.seq), head })
      at = head.seq + 1
    }
    return batches
  }

  /** The furthest head that a batch from `at` may end at; no further than the first one at or beyond `to`. */
  #headFrom (at: number, to: number): Head | undefined {
    const block = Math.ceil(at / LIMITS.batchRecordsMax) * LIMITS.batchRecordsMax
    let best: Head | undefined
    let bytes = 0
    let next = at
    for (let i = this.#firstHead(at); i < this.heads.length; i++) {
      const head = this.heads[i] as Head
      for (; next <= head.seq; next++) bytes += (this.records[next - 1] as Uint8Array).length
      if (best !== undefined && (head.seq > block || bytes > LIMITS.batchBytesMax)) break
      best = head
      if (head.seq >= to) break
    }
    return best
  }

  /** Index of the first head at or after `seq`. */
  #firstHead (seq: number): number {
    let [low, high] = [0, this.heads.length]
    while (low < high) {
      const mid = (low + high) >> 1
      if ((this.heads[mid] as Head).seq < seq) low = mid + 1
      else high = mid
    }
    return low
  }
}
