/** What the author of a record may write: the record and its past decide. */
import type { Bodies, Covered } from '../body.ts'
import type { Node } from '../feeds/node.ts'
import { refuse } from '../refusal.ts'
import type { Place } from '../scanner.ts'
import { isCounted, pastOf } from './past.ts'
import type { TextRecord, TextState } from './state.ts'
import { endOfSession, isCovered, lackedBy, needsOf, overlaps } from './units.ts'

/** The session's client, and exactly from its end. @throws Refusal */
export function checkClocks (text: TextState, { node, client, scanned: { block } }: TextRecord): void {
  if (block === undefined) return
  if (block.client !== client) refuse('text is written under the client of another session')
  if (client === text.base || block.clock !== endOfSession(text, node, client)) refuse('text does not continue where its session ended')
}

/** Every reference and every delete lies in the causal past. @throws Refusal */
export function checkCoverage (text: TextState, record: TextRecord): void {
  const { node, client, scanned: { block, deletes } } = record
  const end = block?.end ?? endOfSession(text, node, client)
  for (const struct of block?.structs ?? []) {
    const isBelow = (place: Place | undefined): boolean => place === undefined ||
      (place.client === client ? place.clock < struct.clock : isCovered(text, node, place.client, place.clock, place.clock + 1))
    if (!isBelow(struct.origin) || !isBelow(struct.right)) refuse('text refers to something its author had not seen')
  }
  for (const { client: other, clock, length } of deletes) {
    const isSeen = other === client ? clock + length <= end : isCovered(text, node, other, clock, clock + length)
    if (!isSeen) refuse('text deletes something its author had not seen')
  }
}

/**
 * Adjacency, judged in a document of what the author had seen. Where the past itself has a conflict nothing is judged: such a
 * body is always read in the shared order, so its document is the same whatever was accepted.
 *
 * @throws Refusal
 */
export function checkDocument (text: TextState, record: TextRecord, bodies: Bodies, isOwn: boolean): void {
  const { node, client, update, scanned } = record
  const covered = coveredBy(text, node)
  const isRival = text.hasConflict || overlaps(text, client, scanned)
  if (!isRival) {
    text.reread?.()
    if (lackedBy(text, record) !== undefined) return
    if (isOwn) bodies.check(text.source, scanned, covered)
    else bodies.apply(text.source, update, scanned, covered)
    return
  }
  const past = pastOf(text, node, bodies, isOwn)
  if (past.hasConflict) return
  if (needsOf(text, record).some(units => !units.some(({ node: holder }) => isCounted(text, past, holder)))) return
  if (isOwn) return bodies.try(past.source, update, scanned, covered)
  bodies.apply(past.source, update, scanned, covered)
  past.tried = update
}

/** Units of each client in the author's past; of its own session, the caller counts by itself. */
function coveredBy (text: TextState, node: Node): Covered {
  const known = new Map<number, number>()
  return client => {
    const before = known.get(client)
    if (before !== undefined) return before
    const units = text.sessions.get(client)?.units ?? []
    // Without a conflict every session is one chain: the last units that were seen reach furthest.
    const end = text.hasConflict
      ? units.reduce((end, { node: other, end: reached }) => reached > end && node.sees(other) ? reached : end, 0)
      : units.findLast(({ node: other }) => node.sees(other))?.end ?? 0
    known.set(client, end)
    return end
  }
}
