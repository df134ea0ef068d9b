/**
 * On how many days this device has told of each fork. A fork stays in the feeds for ever; `status` is for what is new, so
 * it tells of a fork on the first days after it was met, and `stack verify` at all times.
 *
 * Days on which the node ran are counted, by the device's own clock: a fork that was met before a long absence is told
 * after it, a clock that began in 1970 costs one day, and the dates in the records, which their author chose, count for
 * nothing. A further history of the same feed is news again. Without the file the days begin anew.
 */
import type { Fork } from '@elder-node/crdt-stack'
import { decode, encode, MalformedError, type FeedId, type StackKey, type Value } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import type { Clock } from '../../ports/host.ts'
import type { HeldStack } from './held-stack.ts'

/** `day`: the last one that counted, in days since 1970. */
interface Told { strands: number, days: number, day: number }
type Met = ReadonlyMap<FeedId, Told>

/** forks.cbor := [[feed, strands, days, day], ...] */
const FILE = 'forks.cbor'
const BYTES_MAX = 1 << 24
const DAYS_MAX = 14
const DAY_MS = 86_400_000

export class ForksMet {
  readonly #files: PrivateFiles
  readonly #clock: Clock
  readonly #met = new Map<StackKey, Met>()

  constructor ({ files, clock }: { files: PrivateFiles, clock: Clock }) {
    this.#files = files
    this.#clock = clock
  }

  /** The forks of a stack that are to be told today. */
  news (held: HeldStack): Fork[] {
    const { forks } = held.faults()
    if (forks.length === 0) return forks
    const before = this.#met.get(held.key) ?? this.#load(held.key)
    const today = Math.floor(this.#clock.wallMs() / DAY_MS)
    const met: Met = new Map(forks.map(fork => [fork.feed, toldOf(fork, today, before.get(fork.feed))]))
    this.#met.set(held.key, met)
    if (met.size !== before.size || [...met].some(([feed, told]) => told !== before.get(feed))) this.#save(held.key, met)
    return forks.filter(({ feed }) => (met.get(feed) as Told).days <= DAYS_MAX)
  }

  /** What a full disk does not take is told for longer. */
  #save (key: StackKey, met: Met): void {
    try {
      this.#files.replace(`${key}/${FILE}`, encode([...met].map(([feed, { strands, days, day }]) => [feed, strands, days, day])))
    } catch {
      // The days of this life count in memory.
    }
  }

  #load (key: StackKey): Met {
    try {
      const bytes = this.#files.readCache(`${key}/${FILE}`)
      return bytes === undefined ? NONE : metIn(decode(bytes, BYTES_MAX))
    } catch {
      return NONE
    }
  }
}

const NONE: Met = new Map()

/** @throws when it is another file that took the name */
function metIn (value: Value): Met {
  if (!Array.isArray(value)) throw new MalformedError('it holds something else')
  return new Map(value.map(row => {
    const [feed, ...counts] = Array.isArray(row) ? row : []
    if (typeof feed !== 'string' || counts.length !== 3 || !counts.every(Number.isInteger)) {
      throw new MalformedError('it holds something else')
    }
    const [strands, days, day] = counts as [number, number, number]
    return [feed as FeedId, { strands, days, day }]
  }))
}

/** The same object while nothing changed. */
function toldOf ({ strands }: Fork, today: number, before: Told | undefined): Told {
  if (before === undefined || strands > before.strands) return { strands, days: 1, day: today }
  if (before.day === today || before.days > DAYS_MAX) return before
  return { ...before, days: before.days + 1, day: today }
}
