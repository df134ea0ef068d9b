/**
 * One element of a feed, as bytes and as a value.
 *
 * record := [seq, prev, deps, at, agent, kind, body]   canonical CBOR, at most LIMITS.recordBytesMax
 * deps   := [[feedKey, seq, hash], ...]                strictly rising by (feedKey, hash); never of the record's own feed
 * hash   := sha256("elder/record/v2\0" record)          the record's name: (feed, seq) is only an address
 * prev   := hash of the record before; of the first record: sha256("elder/feed/v2\0" stack feedKey)
 *
 * The records of a feed form a tree by `prev`: a device whose disk went back in time writes two records with one `seq`.
 */
import { decode, decodeCanonical, encode, type Value } from '../codec/cbor.ts'
import { compareBytes, fromBase32, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { feedIdOf, feedKey, type FeedId, type StackId } from '../ids.ts'
import { LIMITS } from '../limits.ts'

/** A head of another feed that the author had seen when it wrote; of a forked feed there may be several. */
export interface Dep { feed: FeedId, seq: number, hash: Uint8Array }

export interface FeedRecord {
  /** From 1, without gaps. */
  seq: number
  prev: Uint8Array
  /** Heads of other feeds outside the past of this author's previous record, and only those. */
  deps: Dep[]
  /** Hybrid logical clock: milliseconds since 1970 times 1024, plus a counter. For display and ties only. */
  at: number
  /** The agent that wrote, if any; the device is the feed's. */
  agent: string | null
  /** `new`, `set`, `text`, `remove`, `restore`, `import`, `blob`, `base`, ...; unknown kinds are kept and relayed. */
  kind: string
  body: Value
}

const RECORD = utf8('elder/record/v2\0')
const FEED = utf8('elder/feed/v2\0')

/** The `prev` of a feed's first record: binds the chain to its stack and feed. */
export function genesisHash (stack: StackId, feed: FeedId, crypto: Crypto): Uint8Array {
  return crypto.sha256(FEED, fromBase32(stack) as Uint8Array, feedKey(feed))
}

export function recordHash (bytes: Uint8Array, crypto: Crypto): Uint8Array { return crypto.sha256(RECORD, bytes) }

export function encodeRecord (record: FeedRecord): Uint8Array {
  const deps = record.deps.map(dep => [feedKey(dep.feed), dep.seq, dep.hash])
  return encode([record.seq, record.prev, deps, record.at, record.agent, record.kind, record.body])
}

/**
 * @param isOurs the bytes were checked when they came, and have stood on this device's disk since: they are not encoded again to
 *   see that they are canonical.
 * @throws MalformedError when the bytes are not one well-formed record within bounds.
 */
export function decodeRecord (bytes: Uint8Array, { isOurs = false }: { isOurs?: boolean } = {}): FeedRecord {
  const value = isOurs ? decode(bytes, LIMITS.recordBytesMax) : decodeCanonical(bytes, LIMITS.recordBytesMax)
  if (!Array.isArray(value) || value.length !== 7) throw new MalformedError('a record is an array of seven')
  const [seq, prev, deps, at, agent, kind, body] = value as [Value, Value, Value, Value, Value, Value, Value]
  if (!isSeq(seq)) throw new MalformedError('record.seq is a positive integer')
  if (!isHash(prev)) throw new MalformedError('record.prev is a hash')
  if (!isCount(at)) throw new MalformedError('record.at is a non-negative integer')
  if (agent !== null && (typeof agent !== 'string' || agent.length === 0 || agent.length > 64)) throw new MalformedError('record.agent is null or a short text')
  if (typeof kind !== 'string' || kind.length === 0 || kind.length > 32) throw new MalformedError('record.kind is a short text')
  return { seq, prev, deps: decodeDeps(deps), at, agent, kind, body }
}

function decodeDeps (value: Value): Dep[] {
  if (!Array.isArray(value) || value.length > LIMITS.depsMax) throw new MalformedError('record.deps is a short array')
  return placesOf(value, 'deps')
}

/**
 * A list of records by address and name, strictly rising by (feedKey, hash): the shape of `deps` and of a vector.
 *
 * @throws MalformedError
 */
export function placesOf (value: readonly Value[], what: string): Dep[] {
  let last: { key: Uint8Array, hash: Uint8Array } | undefined
  return value.map(item => {
    const [key, seq, hash] = Array.isArray(item) && item.length === 3 ? item : []
    if (!(key instanceof Uint8Array) || !isSeq(seq) || !isHash(hash)) throw new MalformedError(`${what} hold [feed, seq, hash]`)
    const order = last === undefined ? -1 : compareBytes(last.key, key) || compareBytes(last.hash, hash)
    if (order >= 0) throw new MalformedError(`${what} rise strictly by feed and hash`)
    last = { key, hash }
    return { feed: feedIdOf(key), seq, hash }
  })
}

/** The order of {@link placesOf}. Each feed id is decoded once: that is what sorting thousands costs. */
export function risingPlaces<Place extends Dep> (places: Iterable<Place>): Place[] {
  return [...places].map(place => ({ place, key: feedKey(place.feed) }))
    .sort((a, b) => compareBytes(a.key, b.key) || compareBytes(a.place.hash, b.place.hash)).map(({ place }) => place)
}

/** Sequence numbers fit 32 bits: four thousand million records of one life of one device. */
export function isSeq (value: unknown): value is number { return isCount(value) && value >= 1 && value <= 0xffff_ffff }

export function isCount (value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

export function isHash (value: unknown): value is Uint8Array { return value instanceof Uint8Array && value.length === 32 }
