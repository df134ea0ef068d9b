/**
 * What one side still asks for, stack by stack: at most one message of questions is open at a time, so the memory of an exchange
 * is one frame per direction, however much is missing.
 *
 * A question names the last record of a path by its hash and how far back to go; the holder walks `prev`. What waiting records
 * name goes first, so that records wait for a short time only. Where the answer does not attach to anything that is held, the
 * feed has forked further back: the records before are asked for by hash, 1, 2, 4, 8, … back. Each waiting name is asked for
 * at most twice in one exchange, so a peer that cannot serve what it named ends nothing but its own questions.
 */
import { equalBytes, toHex } from '../codec/text.ts'
import { MalformedError } from '../errors.ts'
import type { Batch } from '../feed/chain.ts'
import { decodeRecord } from '../feed/record.ts'
import type { VectorEntry, Want } from '../feed/vector.ts'
import type { FeedId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { StackKey } from './keys.ts'
import type { NamedVector } from './messages.ts'

/** What a puller reads of the local stacks. Records that wait count as held. */
export interface PullerView {
  /** Not held, and this device would take it: its author may write here, and no cut ends its feed before it. */
  wants: (key: StackKey, head: VectorEntry) => boolean
  holds: (key: StackKey, hash: Uint8Array) => boolean
  /** The greatest seq below `below` that is held of this feed, on any strand; 0 when none is. */
  longest: (key: StackKey, feed: FeedId, below: number) => number
  /** What waiting records name and is not held, a bounded list. */
  missing: (key: StackKey) => VectorEntry[]
}

/** Questions about one stack. */
export interface Ask { key: StackKey, name: string, wants: Want[] }

/** `step`: how many records further back the next question goes when the answer does not attach. `isClaimed`: a waiting record says where it stands, which may be a lie. */
interface Question extends Want { step: number, isHead: boolean, isClaimed: boolean }
interface Current { named: NamedVector, queue: Question[], asked: Question[], count: number, times: Map<string, number> }

/** Questions about one stack in one exchange: far above what a fork takes; the next exchange goes on. */
const QUESTIONS_MAX = 4096
const TIMES_MAX = 2

export class Puller {
  readonly #view: PullerView
  readonly #stacks: NamedVector[]
  #current: Current | undefined
  #answer: ReadonlyArray<readonly Batch[]> = []

  constructor (view: PullerView, theirs: NamedVector[]) {
    this.#view = view
    this.#stacks = theirs
  }

  /** The next questions, or undefined when nothing is left to ask. */
  next (): Ask | undefined {
    for (;;) {
      const current = this.#current ?? this.#begin()
      if (current === undefined) return undefined
      this.#askMissing(current)
      const asked = this.#take(current)
      if (asked.length > 0) return { key: current.named.key, name: current.named.name, wants: asked.map(({ feed, from, to, hash }) => ({ feed, from, to, hash })) }
      this.#current = undefined
    }
  }

  /**
   * The peer's answer: for each question, from the first on, the batches that it can serve. Fewer answers than questions: the
   * frame was full, the others are asked again.
   *
   * @throws MalformedError when it is not an answer to what was asked.
   */
  answered (key: StackKey, answers: ReadonlyArray<readonly Batch[]>): void {
    const asked = this.#current?.named.key === key ? this.#current.asked : []
    if (answers.length > asked.length || asked.length === 0) throw new MalformedError('batches that nobody asked for')
    answers.forEach((batches, i) => {
      const { feed, from, to, isClaimed } = asked[i] as Question
      const fits = (batch: Batch): boolean => isClaimed || (batch.feed === feed && batch.from <= to && batch.head.seq >= from)
      if (!batches.every(fits)) throw new MalformedError('a batch that nobody asked for')
    })
    this.#answer = answers
  }

  /** The answer was taken by the stack: what follows from it. */
  applied (): void {
    const current = this.#current
    if (current === undefined) return
    const answers = this.#answer
    const { asked } = current
    this.#answer = []
    current.asked = []
    // An empty message: nothing at all can be served, so nothing is asked again.
    const rest = answers.length === 0 ? [] : asked.slice(answers.length)
    const more = answers.flatMap((batches, i) => this.#after(current, asked[i] as Question, batches))
    current.queue.unshift(...more, ...rest)
  }

  /** Gives up on the stack at hand. */
  skip (): void { this.#current = undefined }

  #begin (): Current | undefined {
    const named = this.#stacks.shift()
    if (named === undefined) return undefined
    const heads = named.vector.filter(head => this.#view.wants(named.key, head))
    const queue = heads.map(head => ({ ...this.#question(named.key, head), isHead: true }))
    this.#current = { named, queue, asked: [], count: 0, times: new Map() }
    return this.#current
  }

  #question (key: StackKey, { feed, seq, hash }: VectorEntry): Question {
    return { feed, from: this.#view.longest(key, feed, seq) + 1, to: seq, hash, step: 1, isHead: false, isClaimed: false }
  }

  #askMissing ({ named: { key }, queue, times }: Current): void {
    for (const place of this.#view.missing(key)) {
      const name = toHex(place.hash)
      const before = times.get(name) ?? 0
      if (before >= TIMES_MAX || queue.some(question => equalBytes(question.hash, place.hash))) continue
      times.set(name, before + 1)
      queue.unshift({ ...this.#question(key, place), isClaimed: true })
    }
  }

  #take (current: Current): Question[] {
    const { named: { key }, queue } = current
    const asked: Question[] = []
    while (queue.length > 0 && asked.length < LIMITS.syncWantsMax && current.count < QUESTIONS_MAX) {
      const question = queue.shift() as Question
      if (this.#view.holds(key, question.hash) || (question.isHead && !this.#view.wants(key, { ...question, seq: question.to }))) continue
      asked.push(question)
      current.count++
    }
    current.asked = asked
    return asked
  }

  /** What to ask after the batches that came for one question. */
  #after ({ named: { key } }: Current, question: Question, batches: readonly Batch[]): Question[] {
    const [first, last] = [batches[0], batches.at(-1)]
    if (first === undefined || last === undefined) return []
    const { prev } = decodeRecord(first.records[0] as Uint8Array)
    if (first.from > 1 && !this.#view.holds(key, prev)) {
      const to = first.from - 1
      return [{ feed: first.feed, from: Math.max(1, to - question.step), to, hash: prev, step: question.step * 2, isHead: false, isClaimed: false }]
    }
    const isWhole = last.head.seq >= question.to || this.#view.holds(key, question.hash)
    return isWhole ? [] : [{ ...question, from: last.head.seq + 1, step: 1 }]
  }
}
