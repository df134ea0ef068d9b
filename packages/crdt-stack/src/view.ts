/**
 * Entries as a view of a stack's graph: which records keep the rules of their kind, and what follows from those that do.
 *
 * `judge` is a function of a record and its causal past; it is asked once, before the record is part of the graph. `fold` takes the
 * judged records in any causal order. What the author of a record may not do makes it void; what others did to what it builds
 * on makes it skipped. Both are kept and relayed, and neither is shown.
 */
import { decodeRecord, type Crypto, type DeviceId, type EntryId, type StackId, type Value } from '@elder-node/protocol'
import { Bodies } from './body.ts'
import { baseClientId, clientIdOf, entryIdOf } from './client-id.ts'
import { bodyOf, touch, writeField, type EntryState } from './entries.ts'
import type { Graph } from './feeds/graph.ts'
import { lowerFirst, type Node, type RecordName } from './feeds/node.ts'
import { Refusal, refuse } from './refusal.ts'
import { scanText } from './scanner.ts'
import { isImmutable, markBody, namedEntry, newBody, REMOVED, setBody, textBody } from './schema.ts'
import { checkClocks, checkCoverage, checkDocument } from './text/judge.ts'
import { addText, settleText } from './text/shown.ts'
import { newText, type TextRecord, type TextState } from './text/state.ts'

/** A record that is held and not shown. */
export interface Unshown { node: Node, state: 'void' | 'skipped', why: string,
  /** The device at fault, where it is known: of a void record its author. */
  device: DeviceId | undefined }

export interface EntriesInit {
  /** Is nothing of this record shown, because its device was evicted? */
  isMasked: (node: Node) => boolean
  /** Takes records that another view has judged, and is read in between. @default false */
  isReplay?: boolean
}

export class EntriesView {
  readonly entries: Map<RecordName, EntryState> = new Map()
  readonly bodies: Bodies
  readonly #stack: StackId
  readonly #crypto: Crypto
  readonly #isMasked: (node: Node) => boolean
  /** By the short id; several where somebody ground out two hashes that begin alike. */
  readonly #ids = new Map<string, EntryState | EntryState[]>()
  #read: { node: Node, body: Value } | undefined
  /** Something is held and not shown: worth a look at every record. */
  #hasUnshown = false
  /** Texts that have something to be settled. */
  readonly #unsettled = new Set<TextState>()

  constructor (stack: StackId, crypto: Crypto, { isMasked, isReplay = false }: EntriesInit) {
    this.bodies = new Bodies({ isReplay })
    this.#stack = stack
    this.#crypto = crypto
    this.#isMasked = isMasked
  }

  /** Entries that are not void or masked; removed ones too. */
  * shown (): Generator<EntryState> { for (const entry of this.entries.values()) if (entry.hidden === undefined) yield entry }

  byId (id: string): EntryState | undefined {
    return this.#alike(id.slice(0, SHORT_CHARS)).find(entry => entry.id === (id as EntryId) && entry.hidden === undefined)
  }

  /** Why the author of this record broke a rule; undefined when it kept them all. `isOwn`: its text is in the open document already. */
  judge (node: Node, isOwn = false): string | undefined {
    try {
      this.#check(node, isOwn)
      return undefined
    } catch (error) {
      if (error instanceof Refusal) return error.message
      throw error
    }
  }

  /** Takes a judged record. @returns the entry that is another than before, if one is */
  fold (node: Node): EntryState | undefined {
    const entry = this.#take(node)
    node.record.body = undefined
    return entry
  }

  /** At the end of a delivery: reads again, once each, the texts that need it, before a cut changes what they show. */
  settle (): void {
    for (const text of this.#unsettled) settleText(text, this.bodies)
    this.#unsettled.clear()
  }

  #take (node: Node): EntryState | undefined {
    this.#hasUnshown ||= node.why !== undefined || this.#isMasked(node)
    if (node.record.kind === 'new') return this.#born(node)
    if (node.record.kind === 'text') return this.#foldText(node)
    const entry = node.why !== undefined || this.#isMasked(node) ? undefined : this.#foldField(node)
    return entry?.hidden === undefined ? entry : undefined
  }

  /** What is held and not shown, in causal order. */
  unshown (graph: Graph): Unshown[] {
    if (!this.#hasUnshown) return []
    this.settle()
    return [...graph.nodes()].sort(lowerFirst).flatMap(node => this.#reason(node) ?? [])
  }

  /** A text to write into: where the session stands, and its client. */
  textOf (entry: EntryState): TextState { return entry.text ??= this.#open(entry) }

  clientOf (node: Pick<Node, 'feed'>, entry: RecordName, session: Uint8Array): number { return clientIdOf(this.#stack, node.feed, entry, session, this.#crypto) }

  #bodyOf (node: Node): Value {
    if (node.record.body !== undefined) return node.record.body
    if (this.#read?.node !== node) this.#read = { node, body: decodeRecord(node.record.bytes, { isOurs: true }).body }
    return this.#read.body
  }

  #check (node: Node, isOwn: boolean): void {
    const body = this.#bodyOf(node)
    switch (node.record.kind) {
      case 'new': return void newBody(body)
      case 'set': return void this.#seen(setBody(body).entry, node)
      case 'remove': case 'restore': return void this.#seen(markBody(body), node)
      case 'text': return this.#checkText(node, body, isOwn)
      // Kinds that this version does not know count for causality, are kept and relayed, and change nothing.
      default:
    }
  }

  #seen (name: RecordName, node: Node): EntryState {
    const entry = this.entries.get(name)
    return entry !== undefined && node.sees(entry.birth) ? entry : refuse('a record names an entry that its author had not seen')
  }

  #checkText (node: Node, body: Value, isOwn: boolean): void {
    const entry = this.#seen(textBody(body).entry, node)
    if (isImmutable(entry.kind)) refuse(`the text of a ${entry.kind} cannot be changed`)
    const record = this.#textRecord(node, body)
    const text = this.textOf(entry)
    checkClocks(text, record)
    checkCoverage(text, record)
    this.#unsettled.add(text)
    if (entry.birth.why === undefined) checkDocument(text, record, this.bodies, isOwn)
  }

  #textRecord (node: Node, body: Value): TextRecord {
    const { entry, session, update } = textBody(body)
    return { node, client: this.clientOf(node, entry, session), update, scanned: scanText(update) }
  }

  #born (node: Node): EntryState | undefined {
    const { kind, fields, body, v } = this.#birthOf(node)
    const hidden = node.why ?? (this.#isMasked(node) ? MASKED : undefined)
    const entry: EntryState = {
      name: node.name, id: entryIdOf(node.name, node.record.at), kind, v, birth: node, hidden, updated: 0,
      fields: new Map(Object.entries(fields).map(([field, value]) => [field, [{ value, by: node }]])),
      body, text: undefined, touched: [], newest: [], digest: undefined,
    }
    touch(entry, node)
    this.entries.set(entry.name, entry)
    this.#name(entry)
    return hidden === undefined ? entry : undefined
  }

  /** Of a void record too, where it reads: who wrote into an entry by older rules built on text that was there. */
  #birthOf (node: Node): ReturnType<typeof newBody> {
    try {
      return newBody(this.#bodyOf(node))
    } catch (error) {
      if (error instanceof Refusal) return VOID
      throw error
    }
  }

  #name (entry: EntryState): void {
    const others = this.#alike(entry.id)
    if (others.length === 0) return void this.#ids.set(entry.id, entry)
    const alike = [...others, entry].sort((a, b) => a.name < b.name ? -1 : 1)
    this.#ids.set(entry.id, alike)
    alike.forEach((other, i) => { other.id = entryIdOf(other.name, other.birth.record.at, i > 0) })
  }

  #alike (shortId: string): EntryState[] {
    const known = this.#ids.get(shortId)
    return known === undefined ? [] : Array.isArray(known) ? known : [known]
  }

  #foldField (node: Node): EntryState | undefined {
    const body = this.#bodyOf(node)
    const { kind } = node.record
    if (kind !== 'set' && kind !== 'remove' && kind !== 'restore') return undefined
    const { entry: name, field, value } = kind === 'set' ? setBody(body) : { entry: markBody(body), field: REMOVED, value: kind === 'remove' }
    const entry = this.entries.get(name) as EntryState
    writeField(entry, field, value, node)
    touch(entry, node)
    return entry
  }

  #foldText (node: Node): EntryState | undefined {
    const record = this.#readable(node)
    const entry = record === undefined ? undefined : this.entries.get(record.entry)
    if (record === undefined || entry === undefined) return undefined
    const text = this.textOf(entry)
    const changed = addText(text, record, this.bodies, this.#isMasked)
    this.#unsettled.add(text)
    this.#hasUnshown ||= record !== undefined && (text.hasConflict || text.texts.get(node)?.skipped !== undefined)
    if (!changed) return undefined
    entry.body = undefined
    if (this.#isMasked(node)) entry.digest = undefined
    else touch(entry, node)
    return entry.hidden === undefined ? entry : undefined
  }

  /** Undefined for a void record whose bytes do not read: it wrote nothing that others could build on. */
  #readable (node: Node): (TextRecord & { entry: RecordName }) | undefined {
    try {
      const body = this.#bodyOf(node)
      const { entry } = textBody(body)
      return node.why !== undefined && !(this.entries.get(entry)?.birth !== undefined && node.sees((this.entries.get(entry) as EntryState).birth)) ? undefined : { ...this.#textRecord(node, body), entry }
    } catch (error) {
      if (error instanceof Refusal) return undefined
      throw error
    }
  }

  #open (entry: EntryState): TextState {
    return newText(entry.name, baseClientId(this.#stack, entry.name, this.#crypto), bodyOf(entry, this.bodies), entry.birth)
  }

  #reason (node: Node): Unshown | undefined {
    if (node.why !== undefined) return { node, state: 'void', why: node.why, device: node.device }
    const skipped = (why: string, device: DeviceId | undefined): Unshown => ({ node, state: 'skipped', why, device })
    const { kind } = node.record
    if (!KINDS.has(kind)) return undefined
    const name = kind === 'new' ? node.name : namedEntry(this.#bodyOf(node))
    const entry = name === undefined ? undefined : this.entries.get(name)
    if (kind === 'new' && this.#isMasked(node)) return skipped(MASKED, node.device)
    if (entry?.hidden !== undefined) return skipped('its entry is not shown', this.#isMasked(node) ? node.device : entry.birth.device)
    const skip = entry?.text?.texts.get(node)?.skipped
    if (kind === 'text' && skip !== undefined) return skipped(skip.why, skip.at?.device)
    return this.#isMasked(node) ? skipped(MASKED, node.device) : undefined
  }
}

const SHORT_CHARS = 26
const MASKED = 'its device was evicted'
const KINDS: ReadonlySet<string> = new Set(['new', 'set', 'remove', 'restore', 'text'])
/** An entry whose `new` record is void: others may name it, and it is never shown. */
const VOID: ReturnType<typeof newBody> = { kind: '', fields: {}, body: '', v: 0 }
