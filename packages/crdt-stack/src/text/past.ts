/** What the author of a record had seen of a text in which some place was written twice. */
import type { Bodies, TextSource } from '../body.ts'
import { lowerFirst, type Node } from '../feeds/node.ts'
import { scanText } from '../scanner.ts'
import type { Past, TextState, Written } from './state.ts'
import { hasRival, needsOf } from './units.ts'

/** As many strands of one text as may grow in turn before a past is read from its beginning. */
const PASTS_MAX = 16

/** `isOwn`: a draft, which may never become part of the graph: nothing is to be built on it. */
export function pastOf (text: TextState, node: Node, bodies: Bodies, isOwn: boolean): Past {
  const [known] = isOwn ? [] : text.pasts.filter(({ at }) => node.sees(at)).sort((a, b) => b.at.height - a.at.height)
  const entry = `${text.source.entry} before ${node.name}`
  const source: TextSource = { ...text.source, entry, state: undefined, updates: [], masks: [] }
  const past: Past = known ?? { at: node, hasConflict: false, skipped: new Set(), source, tried: undefined }
  const fresh: Node[] = []
  for (const other of text.texts.keys()) {
    if (node.sees(other) && known?.at.sees(other) !== true) fresh.push(other)
  }
  grow(text, past, fresh.sort(lowerFirst), bodies, node)
  past.at = node
  if (isOwn) return past
  // The latest last: the first is what goes.
  text.pasts = [...text.pasts.filter(other => other !== past), past]
  if (text.pasts.length > PASTS_MAX) forgetPasts(text, bodies, PASTS_MAX)
  return past
}

/** `fresh`: what `node` sees and the past lacks, in causal order. */
function grow (text: TextState, past: Past, fresh: readonly Node[], bodies: Bodies, node: Node): void {
  const { at: before, tried } = past
  past.tried = undefined
  past.hasConflict ||= fresh.some(other => hasRival(text, other, node))
  if (past.hasConflict) return bodies.drop(past.source.entry)
  // What was tried and refused, or is not in this past, must not stay in the document.
  if (tried !== undefined && fresh.includes(before)) bodies.keep(past.source, tried)
  else if (tried !== undefined) bodies.drop(past.source.entry)
  for (const other of fresh) {
    const { client, update } = text.texts.get(other) as Written
    const needs = needsOf(text, { node: other, client, update, scanned: scanText(update) })
    const isLacking = needs.some(units => !units.some(({ node: holder }) => isCounted(text, past, holder)))
    if (isLacking) past.skipped.add(other)
    else if (tried === undefined || other !== before) bodies.extend(past.source, update)
  }
}

export function isCounted (text: TextState, { skipped }: Past, node: Node): boolean {
  return node === text.birth || (text.texts.has(node) && !skipped.has(node))
}

/** Keeps the pasts that grew last, `count` of them, and drops the documents of the others. */
export function forgetPasts (text: TextState, bodies: Bodies, count: number): void {
  for (const { source } of text.pasts.splice(0, Math.max(0, text.pasts.length - count))) bodies.drop(source.entry)
}
