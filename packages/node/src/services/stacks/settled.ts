/**
 * What the mesh has settled about its stacks, read from the entries of the settings stack. Pure.
 *
 *   origin    {"stack","origin"}                          the stack is of this git repository
 *   archive   {"stack"}                                   nobody writes there any more
 *   removal   {"stack","heads":[[feed, seq, hash], ...]}   what lies at or below these heads is gone
 *
 * `stack` is the stack's name, `<name>@<mesh>` for one of another mesh. Entries come from other devices: what does not
 * read counts for nothing.
 */
import type { Author, Entry } from '@elder-node/crdt-stack'
import { fromHex, originOf, STACK_NAME, toHex, type FeedId, type Vector, type VectorEntry } from '@elder-node/protocol'

/** An entry that settles something. */
export interface Settled { id: string, at: string, by: Author }
export interface Removal extends Settled { heads: readonly VectorEntry[] }

export interface SettledStacks {
  /** The first that a stack was made for at the head. */
  origins: Map<string, string[]>
  archives: Map<string, Settled[]>
  removals: Map<string, Removal[]>
}

type Heads = Array<[feed: FeedId, seq: number, hash: string]>

const FOREIGN = /^[a-z0-9][a-z0-9._-]{0,63}@[a-z2-7]{26}$/
const NAME = /^[0-9a-f]{64}$/

export function settledIn (entries: Entry[]): SettledStacks {
  const found: SettledStacks = { origins: new Map(), archives: new Map(), removals: new Map() }
  for (const entry of entries) {
    const { stack, origin, heads } = fieldsOf(entry.body)
    if (typeof stack !== 'string' || !(STACK_NAME.test(stack) || FOREIGN.test(stack))) continue
    const settled = { id: entry.id, at: entry.createdAt, by: entry.author }
    const isNew = found.origins.get(stack)?.includes(String(origin)) !== true
    if (entry.kind === 'origin' && isOrigin(origin) && isNew) push(found.origins, stack, origin)
    if (entry.kind === 'archive') push(found.archives, stack, settled)
    if (entry.kind !== 'removal' || !isHeads(heads)) continue
    push(found.removals, stack, { ...settled, heads: heads.map(headOf) })
  }
  return found
}

/** As a removal names them. */
export function headsOf (vector: Vector): Heads { return vector.map(({ feed, seq, hash }) => [feed, seq, toHex(hash)]) }

function headOf ([feed, seq, hash]: Heads[number]): VectorEntry {
  return { feed, seq, hash: fromHex(hash) as Uint8Array }
}

function push<T> (map: Map<string, T[]>, key: string, value: T): void {
  const known = map.get(key)
  if (known === undefined) map.set(key, [value])
  else known.push(value)
}

function fieldsOf (body: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(body)) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** Only in the one form in which it is compared. */
function isOrigin (value: unknown): value is string {
  return typeof value === 'string' && originOf(value.startsWith('/') ? value : `https://${value}`) === value
}

function isHeads (value: unknown): value is Heads {
  return Array.isArray(value) && value.every(head => Array.isArray(head) && head.length === 3 &&
    typeof head[0] === 'string' && Number.isSafeInteger(head[1]) && typeof head[2] === 'string' && NAME.test(head[2]))
}
