/**
 * The text of one entry as its records wrote it: which units exist, who wrote them, and which of them are shown.
 *
 * A *unit* is one UTF-16 unit by (client, clock). A *session* is what one feed wrote under one client. A forked feed may have
 * written two contents under one (client, clock): the body is then read from its records in one order that every device shares
 * (beyond a cut last, height, hash). A record counts if the records that wrote what it needs count and no counting record wrote
 * under one of its (client, clock); the others are skipped. A body without such a conflict grows record by record.
 */
import type { FeedId } from '@elder-node/protocol'
import type { Bodies, Covered, TextSource } from './body.ts'
import { withoutDeletes } from './body.ts'
import { lowerFirst, type Node } from './feeds/node.ts'
import { refuse } from './refusal.ts'
import { scanText, type Place, type ScannedDelete, type ScannedText } from './scanner.ts'

/** What one record wrote under its session's client: clocks `clock` to `end - 1`. */
export interface Units { node: Node, clock: number, end: number }

export interface Session {
  feed: FeedId
  /** Of records that keep the rules; by the order in which they came. */
  units: Units[]
  /** Of void records: others may build on them, and are then skipped. */
  voids: Units[]
  /** Both by place, made when first asked for: with two contents under one place a search has to find both. */
  places: Places | undefined
}

/** Rising by clock; `reach`: the furthest end up to there. */
interface Places { units: Units[], reach: number[] }

export interface TextState {
  /** The entry's `new` record, which wrote the first content. */
  readonly birth: Node
  /** To be asked for by {@link sourceOf}: records may have come since it was read. */
  source: TextSource
  /** Reads again what is shown and skipped, once for all records that came since; undefined when that is up to date. */
  reread: (() => void) | undefined
  /** What the authors of its latest records had seen. */
  pasts: Past[]
  /** By client. The base client's one record is the entry's `new`. */
  sessions: Map<number, Session>
  base: number
  /** Records with text that keep the rules, with what they claim. */
  texts: Map<Node, Written>
  /** Some (client, clock) was written twice. */
  hasConflict: boolean
}

/** `skipped`: why its text is not shown though it keeps the rules. */
export interface Written { client: number, update: Uint8Array, skipped: Skip | undefined }
/** `at`: the record at fault, where it is known. */
export interface Skip { why: string, at: Node | undefined }

export interface TextRecord { node: Node, client: number, update: Uint8Array, scanned: ScannedText }

const SKIP_NEEDS = 'it builds on text that is not shown'
const SKIP_TWICE = 'its session was continued twice'

export function newText (entry: string, base: number, initial: string, birth: Node): TextState {
  const units = { node: birth, clock: 0, end: initial.length }
  return {
    birth, source: { entry, base, initial, state: undefined, updates: [], masks: [] }, base, texts: new Map(), hasConflict: false,
    reread: undefined, pasts: [],
    sessions: new Map([[base, { feed: birth.feed, units: birth.why === undefined ? [units] : [], voids: birth.why === undefined ? [] : [units], places: undefined }]]),
  }
}

// ---- what the author of a record may write: the record and its past decide

/** Where the session of `client` ends on the record's own path: another strand's text is not its session. */
function endOfSession (text: TextState, node: Node, client: number): number {
  const units = text.sessions.get(client)?.units ?? []
  const last = units.at(-1)
  if (last === undefined || node.follows(last.node)) return last?.end ?? 0
  return units.reduce((end, { node: other, end: reached }) => reached > end && node.follows(other) ? reached : end, 0)
}

/** Is everything shown that this session wrote? The document lacks what is not, and nothing can follow it there. */
export function isShownWhole (text: TextState, client: number): boolean {
  text.reread?.()
  return (text.sessions.get(client)?.units ?? []).every(({ node }) => text.texts.get(node)?.skipped === undefined)
}

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

/** Did records in the past of `node` write all units of `client` from `from` up to `to`? */
function isCovered (text: TextState, node: Node, client: number, from: number, to: number): boolean {
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
function place (places: Places, added: Units): void {
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
function lastFrom (units: readonly Units[], at: number): number {
  let [low, high] = [0, units.length]
  while (low < high) {
    const mid = (low + high) >> 1
    if ((units[mid] as Units).clock <= at) low = mid + 1
    else high = mid
  }
  return low - 1
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

/** Units that it needs and that are not shown, if there are such: in a text without conflict. */
function lackedBy (text: TextState, record: TextRecord): Units[] | undefined {
  const isShown = ({ node }: Units): boolean => node === text.birth || (text.texts.has(node) && text.texts.get(node)?.skipped === undefined)
  return needsOf(text, record).find(units => !units.some(isShown))
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

function overlaps (text: TextState, client: number, { block }: ScannedText): boolean {
  if (block === undefined) return false
  const units = text.sessions.get(client)?.units ?? []
  if (!text.hasConflict && (units.at(-1)?.end ?? 0) <= block.clock) return false
  return units.some(({ clock, end }) => clock < block.end && block.clock < end)
}

// ---- what the author of a record in a text with a conflict had seen

/**
 * The text in the past of `at`, with its document: most often the next record saw what this one saw, and this one.
 * Without a conflict in it, what counts follows from the needs alone, and a record that came later changes none of it.
 */
interface Past {
  at: Node
  /** Two records of it wrote under one (client, clock): so it is in every past that holds this one. */
  hasConflict: boolean
  /** Records of it whose text does not count. */
  skipped: Set<Node>
  source: TextSource
  /** The update of `at`: its document holds it, though it is not in its past. */
  tried: Uint8Array | undefined
}

/** As many strands of one text as may grow in turn before a past is read from its beginning. */
const PASTS_MAX = 16

/** `isOwn`: a draft, which may never become part of the graph: nothing is to be built on it. */
function pastOf (text: TextState, node: Node, bodies: Bodies, isOwn: boolean): Past {
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

function isCounted (text: TextState, { skipped }: Past, node: Node): boolean {
  return node === text.birth || (text.texts.has(node) && !skipped.has(node))
}

/** Did another record that `node` sees write under one of its (client, clock)? Void ones do not count. */
function hasRival (text: TextState, other: Node, node: Node): boolean {
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

/** Keeps the `count` latest. */
function forgetPasts (text: TextState, bodies: Bodies, count: number): void {
  for (const { source } of text.pasts.splice(0, Math.max(0, text.pasts.length - count))) bodies.drop(source.entry)
}

/** For each unit that a record needs (origins, deletes, its session's unit before), the records in its past that wrote it. */
function needsOf (text: TextState, { node, client, scanned: { block, deletes } }: TextRecord): Units[][] {
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

// ---- what is shown

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
