/**
 * The canonical digest of a stack's content: independent of mesh, arrival order and process.
 *
 * entry   := sha256("elder/entry-digest/v1\0" CBOR [id, kind, v, birth, updated, [[field, [[value, by], ...]], ...], body])
 * by      := [feedKey, seq, at, agent]
 * content := sha256("elder/stack-digest/v1\0" entry*)      by ascending id; fields by ascending name; values as shown
 */
import { encode, feedKey, utf8, type Crypto, type FeedId } from '@elder-node/protocol'
import type { Bodies } from './body.ts'
import { bodyOf, type EntryState, type Written } from './entries.ts'

const ENTRY = utf8('elder/entry-digest/v1\0')
const CONTENT = utf8('elder/stack-digest/v1\0')

export function contentDigest (entries: Iterable<EntryState>, bodies: Bodies, crypto: Crypto): Uint8Array {
  const keys = new Map<FeedId, Uint8Array>()
  const keyOf = (feed: FeedId): Uint8Array => {
    const key = keys.get(feed) ?? feedKey(feed)
    keys.set(feed, key)
    return key
  }
  const sorted = [...entries].sort((a, b) => a.id < b.id ? -1 : 1)
  const all = new Uint8Array(sorted.length * 32)
  sorted.forEach((entry, i) => all.set(entry.digest ??= entryDigest(entry, bodies, crypto, keyOf), i * 32))
  return crypto.sha256(CONTENT, all)
}

function entryDigest (entry: EntryState, bodies: Bodies, crypto: Crypto, keyOf: (feed: FeedId) => Uint8Array): Uint8Array {
  const by = (written: Written): unknown => [keyOf(written.feed), written.seq, written.at, written.agent]
  const fields = [...entry.fields].sort(([a], [b]) => a < b ? -1 : 1).map(([field, values]) => [field, values.map(value => [value.value, by(value.by)])])
  return crypto.sha256(ENTRY, encode([entry.id, entry.kind, entry.v, by(entry.birth), entry.updated, fields, bodyOf(entry, bodies)]))
}
