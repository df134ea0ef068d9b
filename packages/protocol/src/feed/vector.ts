/**
 * A vector: the heads of a stack's feeds, by name. A version vector that survives forks.
 *
 * vector       := [[feedKey, seq, hash], ...]    strictly rising by (feedKey, hash)
 * cuts         := [[deviceKey, [hash, ...], undo], ...]    rising by deviceKey; hashes rising
 * feeds digest := sha256("elder/vector/v2\0" canonical CBOR of [RULES, vector, cuts])
 *
 * Per device the vector holds all *bare* heads (records without a child that no other record names): they determine everything
 * that is held. It is filled up to LIMITS.headsPerDeviceMax with the device's highest named heads, as hints for what to ask.
 */
import { encode, type Value } from '../codec/cbor.ts'
import { fromHex, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { deviceKey, feedIdOf, feedKey, type DeviceId, type FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { isHash, isSeq, placesOf, risingPlaces, type Dep } from './record.ts'

/** The number of the rules by which records are judged. Devices with other numbers may show other entries of equal records. */
export const RULES = 1

/** One head: an address (feed, seq) and a name (hash). */
export type VectorEntry = Dep
/** Strictly rising by (feedKey, hash). */
export type Vector = readonly VectorEntry[]

/**
 * Part of the path that ends at the record `hash`: its records `from` to `to`, both included. `to` is the seq of `hash`.
 * Whoever holds that record walks `prev` from it.
 */
export interface Want { feed: FeedId, from: number, to: number, hash: Uint8Array }

/** What counts of an evicted device. `keep`: names (hex) of heads; inside is what lies in their past. `undo`: nothing is shown. */
export interface DeviceCut { keep: ReadonlySet<string>, undo: boolean }
export type Cuts = ReadonlyMap<DeviceId, DeviceCut>

export function vectorValue (vector: Iterable<VectorEntry>): Value {
  return risingPlaces(vector).map(({ feed, seq, hash }) => [feedKey(feed), seq, hash])
}

/** @throws MalformedError */
export function vectorOf (value: Value | undefined): VectorEntry[] {
  if (!Array.isArray(value) || value.length > LIMITS.syncVectorEntriesMax) throw new MalformedError('a vector is a bounded array')
  return placesOf(value, 'vectors')
}

export function vectorDigest (vector: Iterable<VectorEntry>, cuts: Cuts, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8('elder/vector/v2\0'), encode([RULES, vectorValue(vector), cutsValue(cuts)]))
}

function cutsValue (cuts: Cuts): Value {
  const rising = [...cuts].sort(([a], [b]) => a < b ? -1 : 1)
  return rising.map(([device, { keep, undo }]) => [deviceKey(device), [...keep].sort().map(hex => fromHex(hex) as Uint8Array), undo])
}

export function wantValue ({ feed, from, to, hash }: Want): Value { return [feedKey(feed), from, to, hash] }

/** @throws MalformedError */
export function wantOf (value: Value | undefined): Want {
  const [key, from, to, hash] = Array.isArray(value) && value.length === 4 ? value : []
  if (!(key instanceof Uint8Array) || !isSeq(from) || !isSeq(to) || to < from || !isHash(hash)) throw new MalformedError('a want is [feed, from, to, hash]')
  return { feed: feedIdOf(key), from, to, hash }
}
