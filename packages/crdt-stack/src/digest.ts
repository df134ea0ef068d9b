/**
 * The canonical digest of a stack's content: independent of mesh, arrival order and process.
 *
 * entry   := sha256("elder/entry-digest/v2\0" CBOR [name, kind, v, updated, [[field, [[value, by], ...]], ...], body])
 * name    := hash of its `new` record; by := hash of the record that wrote the value
 * content := sha256("elder/stack-digest/v2\0" entry*)      by ascending name; fields by ascending name; values as shown
 */
import { encode, utf8, type Crypto } from '@elder-node/protocol'
import type { Bodies } from './body.ts'
import { bodyOf, type EntryState } from './entries.ts'
import { hashOf } from './feeds/node.ts'

const ENTRY = utf8('elder/entry-digest/v2\0')
const CONTENT = utf8('elder/stack-digest/v2\0')

export function contentDigest (entries: Iterable<EntryState>, bodies: Bodies, crypto: Crypto): Uint8Array {
  const sorted = [...entries].sort((a, b) => a.name < b.name ? -1 : 1)
  const all = new Uint8Array(sorted.length * 32)
  sorted.forEach((entry, i) => all.set(entry.digest ??= entryDigest(entry, bodies, crypto), i * 32))
  return crypto.sha256(CONTENT, all)
}

function entryDigest (entry: EntryState, bodies: Bodies, crypto: Crypto): Uint8Array {
  const fields = [...entry.fields].sort(([a], [b]) => a < b ? -1 : 1).map(([field, values]) => [field, values.map(({ value, by }) => [value, hashOf(by.name)])])
  return crypto.sha256(ENTRY, encode([hashOf(entry.name), entry.kind, entry.v, entry.updated, fields, bodyOf(entry, bodies)]))
}
