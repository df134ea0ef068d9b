/**
 * Writes of this device, one batch after the other: drafted and judged, signed, stored, and only then taken and shown. Writes that wait
 * while another is stored share the next signature.
 */
import type { Batch, DeviceId } from '@elder-node/protocol'
import type { Graph } from './feeds/graph.ts'
import type { Node, RecordName } from './feeds/node.ts'
import type { FeedStore } from './feeds/store.ts'
import type { Writer } from './feeds/writer.ts'
import type { Serial } from './serial.ts'

export interface CommitsComponents {
  graph: Graph
  store: FeedStore
  writer: Writer
  /** Everything that changes the stack runs here, one after the other. */
  serial: Serial
  /** A record of ours is durable and part of the graph. */
  onTaken: (node: Node) => void
  /** What was drafted on this entry is not kept: its text is read anew from what is durable. */
  onRefused: (entry: string | undefined) => void
}

/** `entry`: the one that is changed; another job on it waits for the next batch, so that no draft builds on a draft of another call. */
interface Job { entry: string | undefined, run: () => RecordName, resolve: (name: RecordName) => void, reject: (error: unknown) => void }

const JOBS_PER_BATCH_MAX = 128

export class Commits {
  readonly #parts: CommitsComponents
  readonly #listeners = new Set<(batch: Batch) => void>()
  readonly #pinned = new Set<DeviceId>()
  #jobs: Job[] = []
  #hasWritten = false

  constructor (components: CommitsComponents) { this.#parts = components }

  /** Something was written in this life: a clean end is worth a note. */
  get hasWritten (): boolean { return this.#hasWritten }

  /** Calls back with each batch, once it is durable. @returns the way to stop it */
  onAppend (listener: (batch: Batch) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** `run` drafts, and says which entry it wrote. Resolves when that is durable and shown. */
  async write (entry: string | undefined, run: () => RecordName): Promise<RecordName> {
    const { serial } = this.#parts
    return await new Promise<RecordName>((resolve, reject) => {
      this.#jobs.push({ entry, run, resolve, reject })
      if (this.#jobs.length === 1) void serial.run(() => this.#commit())
    })
  }

  /** One record that names all that is held, so that nothing of `device` can be dropped for strands that come later. Inside the serial. */
  async pin (device: DeviceId): Promise<void> {
    const { graph, writer } = this.#parts
    const isDone = this.#pinned.has(device) || graph.cuts.has(device) || graph.cuts.has(writer.device)
    if (isDone || graph.heads.bareOf(device).length === 0) return
    writer.begin()
    writer.draft('see', {}, undefined)
    await this.#persist()
    this.#pinned.add(device)
  }

  /** Jobs from the front of the line that touch different entries. */
  #nextJobs (): Job[] {
    const touched = new Set<string>()
    const end = this.#jobs.findIndex(({ entry }, i) => {
      if (i === JOBS_PER_BATCH_MAX || (entry !== undefined && touched.has(entry))) return true
      if (entry !== undefined) touched.add(entry)
      return false
    })
    return this.#jobs.splice(0, end === -1 ? this.#jobs.length : end)
  }

  async #commit (): Promise<void> {
    const { serial, writer, onRefused } = this.#parts
    const jobs = this.#nextJobs()
    if (this.#jobs.length > 0) void serial.run(() => this.#commit())
    writer.begin()
    const done = jobs.flatMap(job => this.#attempt(job))
    try {
      await this.#persist()
    } catch (error) {
      for (const { job } of done) {
        onRefused(job.entry)
        job.reject(error)
      }
      return
    }
    for (const { job, name } of done) job.resolve(name)
  }

  #attempt (job: Job): Array<{ job: Job, name: RecordName }> {
    const { writer, onRefused } = this.#parts
    const before = writer.drafted
    try {
      return [{ job, name: job.run() }]
    } catch (error) {
      writer.cutBack(before)
      onRefused(job.entry)
      job.reject(error)
      return []
    }
  }

  /** Signs and stores what was drafted, then shows it. A write that fails retires the feed: nobody may ever see that record. */
  async #persist (): Promise<void> {
    const { graph, store, writer, onTaken } = this.#parts
    if (writer.drafted === 0) return
    try {
      await store.forgetCleanEnd()
      const batches = writer.sign()
      await store.append(batches)
      this.#hasWritten = true
      for (const node of writer.commit()) {
        graph.attach(node)
        onTaken(node)
      }
      for (const batch of batches) for (const listener of this.#listeners) listener(batch)
    } catch (error) {
      writer.retire()
      throw error
    }
  }
}
