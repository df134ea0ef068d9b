/** An entry as it was, at one revision after the other: what one shares with those before is not computed again. */
import { revisionPart, toEntry, type EntryState } from './entries.ts'
import type { Node } from './feeds/node.ts'
import type { Entry } from './types.ts'
import type { EntriesView } from './view.ts'

/** Awaited in between, so that whoever reads a long history keeps nobody waiting. */
export type Pause = () => Promise<void>

/** `heads`: everything in the view lies at or below these. */
interface Place { view: EntriesView, taken: Set<Node>, heads: Node[] }

/** Histories that several devices write side by side have a place each. */
const PLACES_MAX = 8
const RECORDS_BETWEEN_PAUSES = 16

export class Replay {
  readonly #entry: EntryState
  readonly #records: readonly Node[]
  readonly #byRevision: ReadonlyMap<string, Node>
  readonly #newView: () => EntriesView
  readonly #pause: Pause
  /** Places where the reading can go on; the one that was used last stands last. */
  #places: Place[] = []

  constructor (entry: EntryState, { newView, pause }: { newView: () => EntriesView, pause: Pause }) {
    this.#entry = entry
    this.#records = [...entry.touched]
    this.#byRevision = new Map(this.#records.map(node => [revisionPart(node.name), node]))
    this.#newView = newView
    this.#pause = pause
  }

  /** Undefined when a record that the revision names is not here. Asked oldest first, each record is read about once. */
  async at (revision: string): Promise<Entry | undefined> {
    const heads = revision.split('+').flatMap(part => this.#byRevision.get(part) ?? [])
    if (heads.length !== revision.split('+').length) return undefined
    const lies = (node: Node): boolean => heads.some(head => head === node || head.sees(node))
    const place = this.#nearest(lies)
    let read = 0
    for (const node of this.#records) {
      if (place.taken.has(node) || !lies(node)) continue
      place.view.fold(node)
      place.taken.add(node)
      if (++read % RECORDS_BETWEEN_PAUSES === 0) await this.#pause()
    }
    place.heads = heads
    await this.#pause()
    const then = place.view.entries.get(this.#entry.name)
    return then === undefined ? undefined : { ...toEntry(then, place.view.bodies), id: this.#entry.id }
  }

  /** The place that has most of what lies there, and nothing else. */
  #nearest (lies: (node: Node) => boolean): Place {
    const within = this.#places.filter(({ heads }) => heads.every(lies))
    const [nearest] = within.sort((a, b) => b.taken.size - a.taken.size)
    const place: Place = nearest ?? { view: this.#newView(), taken: new Set(), heads: [] }
    this.#places = [...this.#places.filter(other => other !== place), place].slice(-PLACES_MAX)
    return place
  }
}
