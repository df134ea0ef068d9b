/** Which records wrote which units of a text, asked from the place of one record: only what its author had seen counts. */
import { lowerFirst, type Node } from '../feeds/node.ts'
import { scanText, type ScannedText } from '../scanner.ts'
import type { Places, Session, TextRecord, TextState, Units, Written } from './state.ts'

/** Where the session of `client` ends on the record's own path: another strand's text is not its session. */
export function endOfSession (text: TextState, node: Node, client: number): number {
  const units = text.sessions.get(client)?.units ?? []
  const last = units.at(-1)
  if (last === undefined || node.follows(last.node)) return last?.end ?? 0
  return units.reduce((end, { node: other, end: reached }) => reached > end && node.follows(other) ? reached : end, 0)
}

/** Did records in the past of `node` write all units of `client` from `from` up to `to`? */
export function isCovered (text: TextState, node: Node, client: number, from: number, to: number): boolean {
  const session = text.sessions.get(client)
  if (session === undefined) return false
  for (let at = from; at < to;) {
    const end = holders(text, node, client, at).reduce((end, units) => Math.max(end, units.end), at)
    if (end === at) return false
    at = end
  }
  return true
}

/** Who wrote this unit, of those in the past of `node`. */
function holders (text: TextState, node: Node, client: number, at: number): Units[] {
  const session = text.sessions.get(client)
  if (session === undefined) return []
  const holds = (units: Units): boolean => units.clock <= at && at < units.end && units.node !== node && node.sees(units.node)
  if (text.hasConflict) return allAt(session, at).filter(holds)
  const found = search(session.units, at)
  // Without a conflict every session is one chain: the unit has one writer.
  return [...found !== undefined && holds(found) ? [found] : [], ...session.voids.filter(holds)]
}

/** All units that hold this place. */
function allAt (session: Session, at: number): Units[] {
  session.places ??= placesOf([...session.units, ...session.voids])
  const { units, reach } = session.places
  const found: Units[] = []
  for (let i = lastFrom(units, at); i >= 0 && (reach[i] as number) > at; i--) if ((units[i] as Units).end > at) found.push(units[i] as Units)
  return found.reverse()
}

/** One more among the others: nearly always the last, so that nothing has to move. */
export function place (places: Places, added: Units): void {
  const { units, reach } = places
  let at = lastFrom(units, added.clock) + 1
  while (at > 0 && byPlace(units[at - 1] as Units, added) > 0) at--
  units.splice(at, 0, added)
  for (let i = at; i < units.length; i++) reach[i] = Math.max((units[i] as Units).end, reach[i - 1] ?? 0)
}

function byPlace (a: Units, b: Units): number { return a.clock - b.clock || lowerFirst(a.node, b.node) }

function placesOf (all: Units[]): Places {
  const units = all.sort(byPlace)
  const reach: number[] = []
  for (const { end } of units) reach.push(Math.max(end, reach.at(-1) ?? 0))
  return { units, reach }
}

/** The last units that begin at or before `at`, in a session without conflict. */
function search (units: readonly Units[], at: number): Units | undefined { return units[lastFrom(units, at)] }

/** Index of the last units that begin at or before `at`; -1 when none does. */
export function lastFrom (units: readonly Units[], at: number): number {
  let [low, high] = [0, units.length]
  while (low < high) {
    const mid = (low + high) >> 1
    if ((units[mid] as Units).clock <= at) low = mid + 1
    else high = mid
  }
  return low - 1
}

export function overlaps (text: TextState, client: number, { block }: ScannedText): boolean {
  if (block === undefined) return false
  const units = text.sessions.get(client)?.units ?? []
  if (!text.hasConflict && (units.at(-1)?.end ?? 0) <= block.clock) return false
  return units.some(({ clock, end }) => clock < block.end && block.clock < end)
}

/** For each unit that a record needs (origins, deletes, its session's unit before), the records in its past that wrote it. */
export function needsOf (text: TextState, { node, client, scanned: { block, deletes } }: TextRecord): Units[][] {
  const needs: Units[][] = []
  const need = (other: number, at: number): void => { needs.push(holders(text, node, other, at)) }
  for (const { origin, right } of block?.structs ?? []) {
    for (const place of [origin, right]) if (place !== undefined && !(place.client === client && place.clock >= (block?.clock ?? 0))) need(place.client, place.clock)
  }
  for (const range of deletes) {
    const end = range.client === client ? Math.min(range.clock + range.length, block?.clock ?? Infinity) : range.clock + range.length
    for (let at = range.clock; at < end;) {
      const found = holders(text, node, range.client, at)
      needs.push(found)
      at = found.reduce((next, units) => Math.max(next, units.end), at + 1)
    }
  }
  if (block !== undefined && block.clock > 0) need(client, block.clock - 1)
  return needs
}

/** Units that it needs and that are not shown, if there are such: in a text without conflict. */
export function lackedBy (text: TextState, record: TextRecord): Units[] | undefined {
  const isShown = ({ node }: Units): boolean => node === text.birth || (text.texts.has(node) && text.texts.get(node)?.skipped === undefined)
  return needsOf(text, record).find(units => !units.some(isShown))
}

/** Did another record that `node` sees write under one of its (client, clock)? Void ones do not count. */
export function hasRival (text: TextState, other: Node, node: Node): boolean {
  const { client, update } = text.texts.get(other) as Written
  const { block } = scanText(update)
  const session = text.sessions.get(client)
  if (block === undefined || session === undefined) return false
  session.places ??= placesOf([...session.units, ...session.voids])
  const { units, reach } = session.places
  for (let i = lastFrom(units, block.end - 1); i >= 0 && (reach[i] as number) > block.clock; i--) {
    const { node: rival, end } = units[i] as Units
    if (end > block.clock && rival !== other && rival.why === undefined && node.sees(rival)) return true
  }
  return false
}
