/**
 * Paths of the mirror's branch.
 *
 * elder.json
 * stacks/<key>/entries/<kind>/<ulid>.md
 * stacks/<key>/feeds/<device>-<incarnation>/<from>-<to>.<hash>     hash: first 16 bytes of the last record's hash, hex
 * stacks/<key>/AGENTS.md, MEMORY.md
 * stacks/<key>/roster/<hash>                                       of a stack from another mesh: that mesh's membership records
 * roster/<hash>                                                    hash: first 16 bytes of sha256 of the record, hex
 */
import { feedKey, isEntryId, toHex, type Crypto, type FeedId } from '@elder-node/protocol'
import { windowStart } from '../feeds/path.ts'

export const HEADER_PATH = 'elder.json'

/** The folder of a stack: `<name>`, or `<name>@<mesh>` for one that was restored from another mesh. */
const KEY = /^([a-z0-9][a-z0-9._-]{0,63})(?:@([a-z2-7]{26}))?$/
const SEGMENT = /^([1-9]\d{0,15})-([1-9]\d{0,15})\.([0-9a-f]{32})$/
const KIND = /^[a-z0-9][a-z0-9-]{0,31}$/
const HASH = /^[0-9a-f]{32}$/

/** One window of one path of a feed: from the first record after a multiple of LIMITS.batchRecordsMax up to the next at most. */
export interface SegmentName { feed: FeedId, from: number, to: number, hash: string }

export type MirrorPath =
  | { type: 'header' }
  | { type: 'roster', hash: string }
  | { type: 'origin', key: string }
  | { type: 'segment', key: string, name: SegmentName }
  /** Something below `feeds/` that is not a segment. */
  | { type: 'junk', key: string }
  | { type: 'entry', key: string }
  | { type: 'view', key: string }
  | { type: 'other' }

export function parseKey (key: string): { name: string, mesh: string | undefined } | undefined {
  const match = KEY.exec(key)
  return match === null ? undefined : { name: match[1] as string, mesh: match[2] }
}

export function entryPath (key: string, kind: string, id: string): string {
  return `stacks/${key}/entries/${KIND.test(kind) ? kind : '_other'}/${id}.md`
}

export function viewPath (key: string, view: 'AGENTS.md' | 'MEMORY.md'): string { return `stacks/${key}/${view}` }

export function segmentPath (key: string, { feed, from, to, hash }: SegmentName): string {
  return `stacks/${key}/feeds/${feed}/${from}-${to}.${hash}`
}

export function rosterPath (record: Uint8Array, crypto: Crypto): string { return `roster/${shortHash(crypto.sha256(record))}` }

export function originPath (key: string, record: Uint8Array, crypto: Crypto): string { return `stacks/${key}/${rosterPath(record, crypto)}` }

/** First 16 bytes, hex: how a hash stands in a path. */
export function shortHash (hash: Uint8Array): string { return toHex(hash.subarray(0, 16)) }

/** What a path of a fetched tree is. Nothing outside the layout is ever touched. */
export function parsePath (path: string): MirrorPath {
  if (path === HEADER_PATH) return { type: 'header' }
  const [top, key = '', area, ...rest] = path.split('/')
  if (top === 'roster') return HASH.test(key) && area === undefined ? { type: 'roster', hash: key } : { type: 'other' }
  if (top !== 'stacks' || parseKey(key) === undefined) return { type: 'other' }
  if (area === 'feeds') return segmentOf(key, rest)
  if (area === 'roster') return rest.length === 1 && HASH.test(rest[0] as string) ? { type: 'origin', key } : { type: 'other' }
  if ((area === 'AGENTS.md' || area === 'MEMORY.md') && rest.length === 0) return { type: 'view', key }
  const [kind = '', file = ''] = rest
  const isEntry = area === 'entries' && rest.length === 2 && (kind === '_other' || KIND.test(kind)) && file.endsWith('.md') && isEntryId(file.slice(0, -3))
  return isEntry ? { type: 'entry', key } : { type: 'other' }
}

function segmentOf (key: string, [feed = '', file = '', ...more]: string[]): MirrorPath {
  const match = SEGMENT.exec(file)
  if (match === null || more.length > 0 || !isFeedId(feed)) return { type: 'junk', key }
  const [from, to] = [Number(match[1]), Number(match[2])]
  const fits = Number.isSafeInteger(to) && from <= to && from === windowStart(to)
  return fits ? { type: 'segment', key, name: { feed, from, to, hash: match[3] as string } } : { type: 'junk', key }
}

function isFeedId (text: string): text is FeedId {
  try {
    return feedKey(text as FeedId).length === 40
  } catch {
    return false
  }
}
