/** What a stack shows now: the view of its graph, kept up record by record, computed anew when records were dropped or cuts changed. */
import type { Crypto, StackId } from '@elder-node/protocol'
import type { Changes } from './changes.ts'
import { bodyOf, revisionOf, revisionPart, toEntry, type EntryState } from './entries.ts'
import { beginsFork } from './feeds/forks.ts'
import type { Graph } from './feeds/graph.ts'
import { lowerFirst, type Node } from './feeds/node.ts'
import { Replay, type Pause } from './replay.ts'
import type { Entry, StackChange, StackFault } from './types.ts'
import { EntriesView } from './view.ts'

export interface ShownComponents {
  id: StackId
  crypto: Crypto
  graph: Graph
  changes: Changes
  /** The bounds, or a cut, took records out of the graph. */
  onDropped: () => void
}

/** An entry that is to be told, with the last record that changed it. */
interface Told { state: EntryState, view: EntriesView, feed: Node['feed'], seq: number }

export class Shown {
  readonly #parts: ShownComponents
  readonly #faultListeners = new Set<(fault: StackFault) => void>()
  #view: EntriesView
  /** Entries are computed when they are told: one may change a thousand times before, and readers see its latest. */
  #told: Array<StackChange | Told> = []
  /** A kept head of a cut came: what lies in its past is shown from now on. */
  #isMaskOld = false

  constructor (components: ShownComponents) {
    this.#parts = components
    this.#view = this.#newView()
  }

  get view (): EntriesView { return this.#view }

  /** Calls back with each fork and each void record, once. @returns the way to stop it */
  onFault (listener: (fault: StackFault) => void): () => void {
    this.#faultListeners.add(listener)
    return () => { this.#faultListeners.delete(listener) }
  }

  /** Takes a record that was stored in an earlier life: nobody is told. */
  load (node: Node): void { this.#view.fold(node) }

  /** Takes a new record of the graph. */
  fold (node: Node): void {
    const { graph } = this.#parts
    const entry = this.#view.fold(node)
    this.#isMaskOld ||= graph.isKeptHead(node)
    if (node.why !== undefined) this.#fault({ type: 'void', feed: node.feed, seq: node.seq, why: node.why })
    if (beginsFork(graph, node)) this.#fault({ type: 'fork', feed: node.feed, seq: node.seq })
    if (entry !== undefined) this.#tell(entry, node)
  }

  /** Drops what the bounds do not keep. `isStale`: other cuts apply than when the view was computed. @returns whether another state is shown */
  tidy ({ isStale = false }: { isStale?: boolean } = {}): boolean {
    const { graph, onDropped } = this.#parts
    // What was read and told of this delivery is its state before anything is dropped.
    this.#view.settle()
    this.#told = this.#computed()
    const dropped = graph.prune()
    if (dropped > 0) onDropped()
    const isOld = dropped > 0 || this.#isMaskOld || isStale
    if (isOld) this.#rebuild()
    return isOld
  }

  /** Computes the entries again: after records were dropped, or other cuts. */
  #rebuild (): void {
    const stateOf = (entry: EntryState): string => revisionOf(entry) + bodyOf(entry, this.#view.bodies)
    const before = this.#parts.changes.isRead ? new Map([...this.#view.shown()].map(entry => [entry.name, stateOf(entry)])) : undefined
    this.#isMaskOld = false
    this.#view = this.#newView()
    for (const node of [...this.#parts.graph.nodes()].sort(lowerFirst)) this.#view.fold(node)
    this.#view.settle()
    if (before === undefined) return
    for (const entry of this.#view.shown()) if (before.get(entry.name) !== stateOf(entry)) this.#tell(entry, entry.newest.at(-1) ?? entry.birth)
  }

  /** Tells the readers of changes what came since the last call. */
  settle (): void {
    for (const change of this.#computed()) this.#parts.changes.emit(change)
    this.#told = []
  }

  /** What is told, of each entry its latest state. */
  #computed (): StackChange[] {
    const last = new Map(this.#told.map((told, i) => ['state' in told ? told.state : told, i]))
    return this.#told.flatMap((told, i) => {
      if (!('state' in told)) return [told]
      const { state, view, feed, seq } = told
      return last.get(state) === i ? [{ type: 'entry' as const, entry: toEntry(state, view.bodies), feed, seq }] : []
    })
  }

  /** The entry as it was at a revision; undefined when a record that the revision names is not here. */
  entryAt (entry: EntryState, revision: string): Entry | undefined {
    const heads = revision.split('+').map(part => entry.touched.find(({ name }) => revisionPart(name) === part))
    if (heads.includes(undefined)) return undefined
    const view = this.#newView()
    for (const node of entry.touched) if (heads.some(head => head === node || head?.sees(node))) view.fold(node)
    const then = view.entries.get(entry.name)
    return then === undefined ? undefined : { ...toEntry(then, view.bodies), id: entry.id }
  }

  /** The entry at many revisions, oldest first. */
  replay (entry: EntryState, pause: Pause): Replay { return new Replay(entry, { newView: () => this.#newView({ isReplay: true }), pause }) }

  #newView ({ isReplay = false }: { isReplay?: boolean } = {}): EntriesView {
    const { id, crypto, graph } = this.#parts
    return new EntriesView(id, crypto, { isMasked: node => graph.isMasked(node), isReplay })
  }

  #fault (fault: StackFault): void {
    this.#told.push(fault)
    for (const listener of this.#faultListeners) listener(fault)
  }

  #tell (entry: EntryState, { feed, seq }: Pick<Node, 'feed' | 'seq'>): void {
    // An entry is not worth computing for nobody.
    if (this.#parts.changes.isRead) this.#told.push({ state: entry, view: this.#view, feed, seq })
  }
}
