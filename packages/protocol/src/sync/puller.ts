/**
 * What one side still asks for, stack by stack: at most one question is open at a time, so the memory of an exchange is one
 * frame per direction, however much is missing.
 *
 * Ranges a stack reports as missing (an unseen dep, the place of a fork) go before the rest: so records wait for a short time
 * only. When everything was asked and records are still missing, one more pass is made as long as the last one moved something.
 */
import type { Batch } from '../feed/chain.ts'
import { MalformedError } from '../errors.ts'
import { equalVectors, missing, type Range, type Vector } from '../feed/vector.ts'
import type { FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { NamedVector } from './messages.ts'
import type { StackKey } from './keys.ts'

/** What a puller reads of the local stacks. */
export interface PullerView {
  /** Empty for a stack that is not here. */
  vector: (key: StackKey) => Vector
  /** False for feeds whose author may not write here: never asked for. */
  accepts: (key: StackKey, feed: FeedId) => boolean
}

export interface Want { key: StackKey, name: string, ranges: Range[] }

interface Current { named: NamedVector, urgent: Range[], todo: Range[], asked: Range[], urged: Set<string>, before: Vector | undefined, closed: Set<FeedId> }

export class Puller {
  readonly #view: PullerView
  readonly #queue: NamedVector[]
  #current: Current | undefined

  constructor (view: PullerView, theirs: NamedVector[]) {
    this.#view = view
    this.#queue = theirs
  }

  /** The next question, or undefined when nothing is left to ask. */
  next (): Want | undefined {
    for (;;) {
      const current = this.#current ?? this.#begin()
      if (current === undefined) return undefined
      const ranges = current.urgent.length > 0 ? current.urgent : current.todo
      if (ranges.length > 0) {
        current.asked = ranges.slice(0, LIMITS.syncRangesMax)
        return { key: current.named.key, name: current.named.name, ranges: current.asked.map(range => ({ ...range })) }
      }
      if (!this.#again(current)) this.#current = undefined
    }
  }

  /** The peer's answer; one that brings nothing forward means that it cannot serve what was asked. @throws MalformedError when it is not an answer to what was asked. */
  answered (key: StackKey, batches: readonly Batch[]): void {
    const current = this.#current
    if (current === undefined || current.named.key !== key || current.asked.length === 0) throw new MalformedError('batches that nobody asked for')
    const asked = current.asked.map(range => ({ ...range }))
    for (const batch of batches) {
      if (!asked.some(range => range.feed === batch.feed && batch.from <= range.to && batch.head.seq >= range.from)) throw new MalformedError('a batch that nobody asked for')
      advance(current.urgent, batch)
      advance(current.todo, batch)
    }
    if (current.asked.every((range, i) => range.from === (asked[i] as Range).from)) {
      current.urgent = current.urgent.filter(range => !current.asked.includes(range))
      current.todo = current.todo.filter(range => !current.asked.includes(range))
    }
    current.urgent = current.urgent.filter(range => range.from <= range.to)
    current.todo = current.todo.filter(range => range.from <= range.to)
    current.asked = []
  }

  /** What the stack said to the batches: what it misses goes first, feeds it closed are asked no more. */
  applied (missingRanges: readonly Range[], closed: readonly FeedId[]): void {
    const current = this.#current
    if (current === undefined) return
    for (const feed of closed) current.closed.add(feed)
    for (const range of missingRanges) {
      const name = `${range.feed} ${range.from} ${range.to}`
      if (current.urged.has(name) || current.urged.size >= LIMITS.pendingRecordsMax) continue
      current.urged.add(name)
      merge(current.urgent, range)
    }
    current.urgent = current.urgent.filter(({ feed }) => !current.closed.has(feed))
    current.todo = current.todo.filter(({ feed }) => !current.closed.has(feed))
  }

  /** Gives up on the stack at hand. */
  skip (): void { this.#current = undefined }

  #begin (): Current | undefined {
    const named = this.#queue.shift()
    if (named === undefined) return undefined
    const current: Current = { named, urgent: [], todo: [], asked: [], urged: new Set(), before: undefined, closed: new Set() }
    this.#current = current
    this.#again(current)
    return current
  }

  /** Fills `todo` with what is missing now; false when the last pass moved nothing or nothing is missing. */
  #again (current: Current): boolean {
    const ours = this.#view.vector(current.named.key)
    if (current.before !== undefined && equalVectors(current.before, ours)) return false
    current.before = new Map(ours)
    current.todo = missing(ours, current.named.vector).filter(({ feed }) => !current.closed.has(feed) && this.#view.accepts(current.named.key, feed))
    return current.todo.length > 0
  }
}

function advance (ranges: Range[], { feed, from, head }: Batch): void {
  for (const range of ranges) {
    if (range.feed === feed && range.from >= from && range.from <= head.seq) range.from = head.seq + 1
  }
}

/** One range per feed: overlapping questions would bring records twice. */
function merge (ranges: Range[], { feed, from, to }: Range): void {
  const same = ranges.find(range => range.feed === feed)
  if (same === undefined) ranges.push({ feed, from, to })
  else Object.assign(same, { from: Math.min(same.from, from), to: Math.max(same.to, to) })
}
