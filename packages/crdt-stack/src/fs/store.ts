/**
 * Feeds as framed logs on disk: `<dir>/<feed>.log`, `<dir>/<feed>.notes`, `<dir>/snapshot`, `<dir>/origin`.
 *
 * A batch is acknowledged after fdatasync. When idle it is committed at once; batches that arrive while an fdatasync runs share
 * the next one. One process per directory: the node's lock file sees to that.
 */
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ElderError, feedKey, type Batch, type FeedId } from '@elder-node/protocol'
import { notNext } from '../feed-store.ts'
import type { FeedStore } from '../types.ts'
import { feedOf, framed, frameOf, unframed } from './frames.ts'
import { appendAll, ioError, nodeIo, replaceFile, type Io, type LogFile } from './io.ts'

export interface FsFeedStoreInit {
  /** @default the real file system */
  io?: Io
}

/** `batch` is undefined for notes, which have no order to keep. */
interface Job { file: string, bytes: Uint8Array, batch: Batch | undefined, resolve: () => void, reject: (error: unknown) => void }
/** A log: its size up to the last whole frame and its records, both on the disk for certain. */
interface Log { handle: LogFile | undefined, size: number, records: number }

/** Logs kept open between commits: the own feed and a few busy peers. */
const OPEN_MAX = 4
const SNAPSHOT_BYTES_MAX = 0xffff_ffff

export class FsFeedStore implements FeedStore {
  readonly dir: string
  readonly #io: Io
  readonly #logs = new Map<string, Log>()
  /** Records per feed, those on their way to the disk included. */
  readonly #lengths = new Map<FeedId, number>()
  #queue: Job[] = []
  #flushing: Promise<void> | undefined
  #loaded = false
  #closed = false

  private constructor (dir: string, io: Io) {
    this.dir = dir
    this.#io = io
  }

  /** Creates the directory (mode 0700) when it is missing. */
  static async open (dir: string, { io = nodeIo }: FsFeedStoreInit = {}): Promise<FsFeedStore> {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    return new FsFeedStore(dir, io)
  }

  async load (): ReturnType<FeedStore['load']> {
    const loaded: Required<Awaited<ReturnType<FeedStore['load']>>> = { feeds: [], repaired: [], notes: [], moved: await this.#isMoved() }
    for (const name of (await readdir(this.dir)).sort()) {
      const feed = feedOfName(name)
      if (feed === undefined) continue
      const bytes = await readFile(join(this.dir, name))
      if (name.endsWith('.notes')) {
        const { payloads, end } = unframed(bytes)
        loaded.notes.push(...payloads.map(evidence => ({ feed, evidence })))
        await this.#adopt(name, bytes.length, end, 0)
      } else {
        const { stored, end } = feedOf(feed, bytes)
        this.#lengths.set(feed, stored.records.length)
        if (stored.records.length > 0) loaded.feeds.push(stored)
        if (await this.#adopt(name, bytes.length, end, stored.records.length)) loaded.repaired.push({ feed, bytesCut: bytes.length - end })
      }
    }
    this.#loaded = true
    return loaded
  }

  async reread (): ReturnType<FeedStore['reread']> {
    this.#check()
    const found: Reread = { feeds: [], damaged: [], notes: [] }
    for (const [name, { size }] of [...this.#logs].sort()) {
      const feed = feedOfName(name)
      if (feed === undefined) continue
      // What stands behind the last acknowledged byte is a write that failed: the next one takes its place.
      const bytes = (await readFile(join(this.dir, name)).catch(() => new Uint8Array(0))).subarray(0, size)
      const { end, records } = name.endsWith('.notes') ? takeNotes(feed, bytes, found.notes) : takeFeed(feed, bytes, found.feeds)
      if (end < size) found.damaged.push({ feed, records })
    }
    return found
  }

  async append (batch: Batch): Promise<void> {
    const have = this.#lengths.get(batch.feed) ?? 0
    if (batch.from !== have + 1) throw notNext(batch, have)
    this.#lengths.set(batch.feed, have + batch.records.length)
    try {
      await this.#put(`${batch.feed}.log`, frameOf(batch), batch)
    } catch (error) {
      this.#lengths.set(batch.feed, Math.min(have, this.#lengths.get(batch.feed) ?? 0))
      throw error
    }
  }

  async note (feed: FeedId, evidence: Uint8Array): Promise<void> { await this.#put(`${feed}.notes`, framed(evidence)) }

  async saveSnapshot (bytes: Uint8Array): Promise<void> {
    this.#check()
    await replaceFile(this.#io, join(this.dir, 'snapshot'), framed(bytes))
  }

  async loadSnapshot (): Promise<Uint8Array | undefined> {
    const bytes = await readFile(join(this.dir, 'snapshot')).catch(() => undefined)
    return bytes === undefined ? undefined : unframed(bytes, SNAPSHOT_BYTES_MAX).payloads[0]
  }

  async close (): Promise<void> {
    this.#closed = true
    await this.#flushing
    for (const log of this.#logs.values()) await this.#shut(log)
  }

  #check (): void {
    if (this.#closed) throw new ElderError('CLOSED', 'the feed store is closed')
    // Without it nothing is known about the logs, and the first append would overwrite one.
    if (!this.#loaded) throw new Error('a feed store is loaded before it is written')
  }

  async #put (file: string, bytes: Uint8Array, batch?: Batch): Promise<void> {
    this.#check()
    await new Promise<void>((resolve, reject) => {
      this.#queue.push({ file, bytes, batch, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async #flush (): Promise<void> {
    while (this.#queue.length > 0) {
      const files = Map.groupBy(this.#queue.splice(0), job => job.file)
      for (const [file, jobs] of files) await this.#commit(file, jobs)
    }
    this.#flushing = undefined
  }

  /** One write and one fdatasync for everything that waits for this file. All of it is acknowledged, or none. */
  async #commit (file: string, waiting: Job[]): Promise<void> {
    let jobs = waiting
    try {
      const log = await this.#open(file)
      jobs = inOrder(waiting, log.records)
      const bytes = Buffer.concat(jobs.map(job => job.bytes))
      await appendAll(log.handle as LogFile, bytes, log.size)
      if (log.size === 0) await this.#io.syncDirectory(this.dir)
      log.size += bytes.length
      for (const job of jobs) log.records += job.batch?.records.length ?? 0
      for (const job of jobs) job.resolve()
    } catch (error) {
      for (const job of jobs) job.reject(ioError(error))
    }
  }

  async #open (file: string): Promise<Log> {
    const log = this.#logs.get(file) ?? { handle: undefined, size: 0, records: 0 }
    log.handle ??= await this.#io.open(join(this.dir, file))
    this.#logs.delete(file)
    this.#logs.set(file, log)
    const others = [...this.#logs.values()].filter(other => other.handle !== undefined)
    if (others.length > OPEN_MAX) await this.#shut(others[0] as Log)
    return log
  }

  async #shut (log: Log): Promise<void> {
    const { handle } = log
    log.handle = undefined
    await handle?.close()
  }

  /** Remembers a log's size; cuts what a crash left behind its last whole frame. @returns whether it cut */
  async #adopt (name: string, bytes: number, end: number, records: number): Promise<boolean> {
    const log: Log = { handle: undefined, size: end, records }
    this.#logs.set(name, log)
    if (end === bytes) return false
    const file = await this.#io.open(join(this.dir, name))
    try {
      await file.truncate(end)
      await file.datasync()
    } finally {
      await file.close()
    }
    return true
  }

  /** The directory's own identity, kept inside it: a copy or a restored backup carries the old one. */
  async #isMoved (): Promise<boolean> {
    const { dev, ino } = await stat(this.dir, { bigint: true })
    const path = join(this.dir, 'origin')
    const here = `${dev} ${ino}\n`
    const written = await readFile(path, 'utf8').catch(() => undefined)
    if (written === here) return false
    await replaceFile(this.#io, path, new TextEncoder().encode(here))
    return written !== undefined
  }
}

/** Rejects batches that no longer continue their log, because the one before them could not be written. */
function inOrder (jobs: Job[], records: number): Job[] {
  let next = records + 1
  return jobs.filter(({ batch, reject }) => {
    if (batch === undefined) return true
    if (batch.from !== next) reject(notNext(batch, next - 1))
    else next += batch.records.length
    return batch.from + batch.records.length === next
  })
}

type Reread = Awaited<ReturnType<FeedStore['reread']>>

function takeFeed (feed: FeedId, bytes: Uint8Array, into: Reread['feeds']): { end: number, records: number } {
  const { stored, end } = feedOf(feed, bytes)
  if (stored.records.length > 0) into.push(stored)
  return { end, records: stored.records.length }
}

function takeNotes (feed: FeedId, bytes: Uint8Array, into: Reread['notes']): { end: number, records: number } {
  const { payloads, end } = unframed(bytes)
  into.push(...payloads.map(evidence => ({ feed, evidence })))
  return { end, records: 0 }
}

function feedOfName (name: string): FeedId | undefined {
  const feed = /^(.*)\.(?:log|notes)$/.exec(name)?.[1]
  if (feed === undefined) return undefined
  try {
    feedKey(feed as FeedId)
    return feed as FeedId
  } catch {
    return undefined
  }
}
