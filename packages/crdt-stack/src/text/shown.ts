/** Which records of a text count, and the document that is shown. */
import { withoutDeletes, type Bodies, type TextSource } from '../body.ts'
import { lowerFirst, type Node } from '../feeds/node.ts'
import { scanText, type ScannedDelete, type ScannedText } from '../scanner.ts'
import { forgetPasts } from './past.ts'
import type { Skip, TextRecord, TextState, Units, Written } from './state.ts'
import { lackedBy, lastFrom, needsOf, overlaps, place } from './units.ts'

const SKIP_NEEDS = 'it builds on text that is not shown'
const SKIP_TWICE = 'its session was continued twice'

/** Takes a judged record into the text. @returns whether the body is another than before */
export function addText (text: TextState, record: TextRecord, bodies: Bodies, isMasked: (node: Node) => boolean): boolean {
  const { node, client, update, scanned } = record
  const isRival = text.hasConflict || overlaps(text, client, scanned)
  const session = text.sessions.get(client) ?? { feed: node.feed, units: [], voids: [], places: undefined }
  text.sessions.set(client, session)
  const { block } = scanned
  const units = block === undefined || block.client !== client ? [] : [{ node, clock: block.clock, end: block.end }]
  if (session.places !== undefined) for (const added of units) place(session.places, added)
  if (node.why !== undefined) {
    session.voids.push(...units)
    return false
  }
  const isReread = isRival || text.source.masks.length > 0 || isMasked(node)
  const lacks = isReread ? undefined : lackedBy(text, record)
  const at = lacks?.map(({ node: other }) => text.texts.get(other)?.skipped?.at ?? (other.why === undefined ? undefined : other)).find(other => other !== undefined)
  const written: Written = { client, update, skipped: lacks === undefined ? undefined : { why: SKIP_NEEDS, at } }
  session.units.push(...units)
  text.texts.set(node, written)
  text.hasConflict = isRival
  if (isReread || text.reread !== undefined) text.reread = () => readAgain(text, bodies, isMasked)
  else if (lacks === undefined) bodies.keep(text.source, update)
  return true
}

/** Where its document is read from. */
export function sourceOf (text: TextState): TextSource {
  text.reread?.()
  return text.source
}

/** Reads the body from all its records, in the order that every device shares. */
function readAgain (text: TextState, bodies: Bodies, isMasked: (node: Node) => boolean): void {
  text.reread = undefined
  const all = [...text.texts].sort(([a], [b]) => lowerFirst(a, b))
  const read = countTexts(text, all, isMasked)
  const [updates, masks]: [Uint8Array[], ScannedDelete[]] = [[], []]
  for (const [node, written] of all) {
    written.skipped = read.skips.get(node)
    if (!read.counts(node)) continue
    const scanned = scanText(written.update)
    const { block } = scanned
    updates.push(isMasked(node) ? withoutDeletes(written.update, scanned) : written.update)
    if (isMasked(node) && block !== undefined) masks.push({ client: block.client, clock: block.clock, length: block.end - block.clock })
  }
  text.source = { ...text.source, state: undefined, updates: updates.filter(update => update.length > 2), masks }
  bodies.drop(text.source.entry)
}

interface Read { counts: (node: Node) => boolean, skips: ReadonlyMap<Node, Skip> }

/** `texts` in causal order. A record beyond a cut, or that builds on such text alone, comes after all others. */
function countTexts (text: TextState, texts: ReadonlyArray<readonly [Node, Written]>, isLate: (node: Node) => boolean): Read {
  const blocks = new Map<Node, ScannedText['block']>()
  const needs = new Map<Node, Units[][]>()
  const ranks = new Map<Node, number>()
  for (const [node, { client, update }] of texts) {
    const scanned = scanText(update)
    const needed = needsOf(text, { node, client, update, scanned })
    blocks.set(node, scanned.block)
    needs.set(node, needed)
    const isLateToo = ({ node: holder }: Units): boolean => holder !== text.birth && ranks.get(holder) !== 0
    ranks.set(node, isLate(node) || needed.some(units => units.every(isLateToo)) ? 1 : 0)
  }
  const order = [...texts].sort(([a], [b]) => (ranks.get(a) as number) - (ranks.get(b) as number) || lowerFirst(a, b))
  const taken = new Map<number, Units[]>()
  const [counted, skips] = [new Set<Node>(), new Map<Node, Skip>()]
  const root = (units: readonly Units[]): Node | undefined => units.map(({ node }) => skips.get(node)?.at ?? (node.why === undefined ? undefined : node)).find(at => at !== undefined)
  for (const [node, { client }] of order) {
    const isHere = ({ node: other }: Units): boolean => other === text.birth || counted.has(other)
    const lacking = needs.get(node)?.find(units => !units.some(isHere))
    const block = blocks.get(node)
    const before = taken.get(client) ?? []
    if (lacking !== undefined) skips.set(node, { why: SKIP_NEEDS, at: root(lacking) })
    else if (block !== undefined && !take(before, { node, clock: block.clock, end: block.end })) {
      skips.set(node, { why: SKIP_TWICE, at: node })
    } else {
      counted.add(node)
      taken.set(client, before)
    }
  }
  return { counts: node => counted.has(node), skips }
}

/** Adds to units that rise and share no place. @returns whether they share none with these either */
function take (taken: Units[], units: Units): boolean {
  const at = lastFrom(taken, units.clock)
  if ((taken[at]?.end ?? 0) > units.clock || (taken[at + 1]?.clock ?? Infinity) < units.end) return false
  taken.splice(at + 1, 0, units)
  return true
}

/** At the end of a delivery: reads what came, and keeps a past for each side of a fork, for what follows. */
export function settleText (text: TextState, bodies: Bodies): void {
  text.reread?.()
  forgetPasts(text, bodies, 2)
}

/** Is everything shown that this session wrote? The document lacks what is not, and nothing can follow it there. */
export function isShownWhole (text: TextState, client: number): boolean {
  text.reread?.()
  return (text.sessions.get(client)?.units ?? []).every(({ node }) => text.texts.get(node)?.skipped === undefined)
}
