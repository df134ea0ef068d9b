/**
 * The text of entries, behind Yjs. The only module that imports yjs; nothing it exports shows a Y type.
 *
 * One Y.Doc with one Y.Text per edited body, gc off (with gc on, verdicts depend on arrival order), opened on demand, closed
 * least recently used first. A body that was never edited is a string and has no document. Updates are V1.
 */
import * as Y from 'yjs'
import type { TextEdit } from './difference.ts'
import type { RecordName } from './feeds/node.ts'
import { refuse } from './refusal.ts'
import { ROOT, type ScannedDelete, type ScannedStruct, type ScannedText } from './scanner.ts'

/**
 * A body as it is kept when its document is closed: `initial` under the base client, or an encoded `state`; then `updates`; then
 * what the masks delete (text of an evicted device stays in the document, since others may build on it, and is not shown).
 */
export interface TextSource { entry: RecordName, base: number, initial: string, state: Uint8Array | undefined, updates: Uint8Array[], masks: ScannedDelete[] }

/** How many units of a client lie in the author's causal past. */
export type Covered = (client: number) => number

const DOCUMENTS_OPEN_MAX = 64
/** Nobody's clientID: a document that carried a writer's would make Yjs take another one, aloud, when that writer's text arrives. */
const NOBODY = 0
/** One reason for every displacement: on which side it shows depends on arrival order, the verdict does not. */
const DISPLACED = 'text is not next to where it says'

export class Bodies {
  readonly #open = new Map<RecordName, { source: TextSource, doc: Y.Doc }>()
  /** Whose document holds text that may never become part of its source. */
  readonly #ahead = new Set<RecordName>()
  readonly #isReplay: boolean

  /** `isReplay`: what is kept was judged elsewhere, so an open document does not hold it yet. */
  constructor ({ isReplay = false }: { isReplay?: boolean } = {}) { this.#isReplay = isReplay }

  text (source: TextSource): string { return this.#doc(source).getText(ROOT).toString() }

  /** The text, leaving open what was open and nothing more. */
  glance (source: TextSource): string {
    const open = this.#open.get(source.entry)?.doc
    if (open !== undefined) return open.getText(ROOT).toString()
    const doc = load(source)
    try {
      return doc.getText(ROOT).toString()
    } finally {
      doc.destroy()
    }
  }

  /**
   * Applies a scanned and covered update of another device, then checks what the document became. The document is then ahead of
   * its source until {@link keep} or {@link drop}.
   *
   * @throws Refusal; the document is then what it was before.
   */
  apply (source: TextSource, update: Uint8Array, scanned: ScannedText, covered: Covered): void {
    const doc = this.#doc(source)
    this.#judged(source, () => { applyVerified(doc, update, scanned, covered) })
  }

  /** The same in a document of its own, which is forgotten. @throws Refusal */
  try (source: TextSource, update: Uint8Array, scanned: ScannedText, covered: Covered): void {
    const doc = load(source)
    try {
      applyVerified(doc, update, scanned, covered)
    } finally {
      doc.destroy()
    }
  }

  /** The document holds this update already, or is closed: it is part of the body from now on. */
  keep (source: TextSource, update: Uint8Array): void {
    const open = this.#isReplay ? this.#open.get(source.entry) : undefined
    if (open !== undefined) Y.applyUpdate(open.doc, update)
    source.updates.push(update)
    this.#ahead.delete(source.entry)
  }

  /** An accepted update becomes part of the body: of the open document too, where there is one. */
  extend (source: TextSource, update: Uint8Array): void {
    const open = this.#open.get(source.entry)
    if (open !== undefined) Y.applyUpdate(open.doc, update)
    source.updates.push(update)
  }

  /** Runs the same rules over an own update, already in the document, before it is signed. @throws Refusal */
  check (source: TextSource, scanned: ScannedText, covered: Covered): void {
    this.#judged(source, () => verify(this.#doc(source), scanned, covered))
  }

  /**
   * Makes the edits in one local transaction of `client`. The document is then ahead of its source until {@link keep} or {@link drop}.
   *
   * @returns the V1 update, holding this client's structs and deletes alone.
   */
  write (source: TextSource, client: number, edits: TextEdit[]): Uint8Array {
    const doc = this.#doc(source)
    this.#ahead.add(source.entry)
    doc.clientID = client
    const updates: Uint8Array[] = []
    // Only events of local transactions are ours: others carry foreign structs.
    const listener = (update: Uint8Array, _origin: unknown, _doc: Y.Doc, transaction: Y.Transaction): void => { if (transaction.local) updates.push(update) }
    doc.on('update', listener)
    doc.transact(() => edits.toReversed().forEach(edit => change(doc.getText(ROOT), edit)))
    doc.off('update', listener)
    const kept = doc.clientID === client
    doc.clientID = NOBODY
    const [update] = updates
    if (updates.length === 1 && update !== undefined && kept) return update
    this.drop(source.entry)
    throw new Error('the text changed its writer while it was edited')
  }

  /** Forgets the open document: it is rebuilt from its source when it is needed. */
  drop (entry: RecordName): void {
    this.#open.get(entry)?.doc.destroy()
    this.#open.delete(entry)
    this.#ahead.delete(entry)
  }

  #judged (source: TextSource, judge: () => void): void {
    try {
      judge()
    } catch (error) {
      this.drop(source.entry)
      throw error
    }
  }

  #doc (source: TextSource): Y.Doc {
    const found = this.#open.get(source.entry)
    const doc = found?.doc ?? load(source)
    this.#open.delete(source.entry)
    this.#open.set(source.entry, { source, doc })
    if (this.#open.size > DOCUMENTS_OPEN_MAX) this.#closeOldest()
    return doc
  }

  #closeOldest (): void {
    const [oldest] = this.#open.values()
    if (oldest === undefined) return
    if (!this.#ahead.has(oldest.source.entry)) {
      oldest.source.state = Y.encodeStateAsUpdate(oldest.doc)
      oldest.source.updates = []
    }
    this.drop(oldest.source.entry)
  }
}

function load (source: TextSource): Y.Doc {
  const doc = new Y.Doc({ gc: false, guid: source.entry })
  const text = doc.getText(ROOT)
  doc.clientID = source.base
  if (source.state === undefined && source.initial !== '') text.insert(0, source.initial)
  doc.clientID = NOBODY
  if (source.state !== undefined) Y.applyUpdate(doc, source.state)
  for (const update of source.updates) Y.applyUpdate(doc, update)
  if (source.masks.length > 0) Y.applyUpdate(doc, deletesUpdate(source.masks))
  return doc
}

/** An update without structs: clients descending, ranges ascending. */
function deletesUpdate (deletes: readonly ScannedDelete[]): Uint8Array {
  const byClient = [...Map.groupBy(deletes, ({ client }) => client)].sort(([a], [b]) => b - a)
  const bytes = [0, ...varint(byClient.length)]
  for (const [client, ranges] of byClient) {
    bytes.push(...varint(client), ...varint(ranges.length))
    for (const { clock, length } of ranges.sort((a, b) => a.clock - b.clock)) bytes.push(...varint(clock), ...varint(length))
  }
  return Uint8Array.from(bytes)
}

/** The structs of an update without its deletes. */
export function withoutDeletes (update: Uint8Array, { deletesAt }: ScannedText): Uint8Array {
  const out = new Uint8Array(deletesAt + 1)
  out.set(update.subarray(0, deletesAt))
  return out
}

function varint (value: number): number[] {
  const bytes = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push(rest % 128 + 128)
  }
}

function applyVerified (doc: Y.Doc, update: Uint8Array, scanned: ScannedText, covered: Covered): void {
  try {
    Y.applyUpdate(doc, update)
  } catch {
    refuse('a text update does not apply')
  }
  verify(doc, scanned, covered)
}

function change (text: Y.Text, edit: TextEdit): void {
  if (edit.remove > 0) text.delete(edit.at, edit.remove)
  if (edit.insert !== '') text.insert(edit.at, edit.insert)
}

function verify (doc: Y.Doc, scanned: ScannedText, covered: Covered): void {
  if (doc.store.pendingStructs !== null || doc.store.pendingDs !== null) refuse('a text update refers to something unknown')
  const block = scanned.block
  if (block === undefined) return
  if (Y.getState(doc.store, block.client) !== block.end) refuse('a text update does not end where it says')
  for (const struct of block.structs) {
    const past: Covered = client => client === block.client ? struct.clock : covered(client)
    leftwards(doc, block.client, struct, past)
    rightwards(doc, block.client, struct, past)
  }
}

/**
 * Adjacency: between a struct and its origin on either side there may only be what its author had not seen. This is what an
 * honest insert produces; without it the documents of equal feeds can differ.
 */
function leftwards (doc: Y.Doc, client: number, struct: ScannedStruct, past: Covered): void {
  let item: Y.Item | null = itemAt(doc, client, struct.clock)
  let below = struct.clock
  for (; item !== null; item = item.left, below = Infinity) {
    const end = Math.min(below, item.id.clock + item.length)
    const isOrigin = struct.origin?.client === item.id.client && struct.origin.clock >= item.id.clock && struct.origin.clock < end
    const passedFrom = isOrigin ? (struct.origin as { clock: number }).clock + 1 : item.id.clock
    if (passedFrom < end && passedFrom < past(item.id.client)) refuse(DISPLACED)
    if (isOrigin) return
  }
  if (struct.origin !== undefined) refuse(DISPLACED)
}

function rightwards (doc: Y.Doc, client: number, struct: ScannedStruct, past: Covered): void {
  let item: Y.Item | null = itemAt(doc, client, struct.clock)
  let from = struct.clock + struct.length
  for (; item !== null; item = item.right, from = 0) {
    const start = Math.max(from, item.id.clock)
    const end = item.id.clock + item.length
    const isRight = struct.right?.client === item.id.client && struct.right.clock >= start && struct.right.clock < end
    const passedTo = isRight ? (struct.right as { clock: number }).clock : end
    if (start < passedTo && start < past(item.id.client)) refuse(DISPLACED)
    if (isRight) return
  }
  if (struct.right !== undefined) refuse(DISPLACED)
}

function itemAt (doc: Y.Doc, client: number, clock: number): Y.Item {
  const item = Y.getItem(doc.store, Y.createID(client, clock))
  return item instanceof Y.Item ? item : refuse('a text update holds something other than an item')
}
