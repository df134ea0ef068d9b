/**
 * Feeds as framed logs on disk: `<dir>/<feed>.log`, `<dir>/clean-end`, `<dir>/feeds`.
 *
 * A batch is acknowledged after fdatasync. When idle it is committed at once; batches that arrive while an fdatasync runs share
 * the next one. Only a torn tail is ever cut: a log in which something else does not read is kept aside as it is. One process
 * per directory: the node's lock file sees to that.
 */
import { link, mkdir, readdir, stat, truncate } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { decode, ElderError, encode, feedKey, feedIdOf, fromHex, toHex, type Batch, type FeedId } from '@elder-node/protocol'
import type { Damage, FeedStore, LoadedFeeds } from '../feeds/store.ts'
import { framed, frameOf, readLog, unframed, type Gap, type ReadLog } from './frames.ts'
import { Handles } from './handles.ts'
import { appendAll, ioError, isUnlinked, readOpen, readRegular, removeFile, replaceFile, syncDirectory } from './io.ts'

export interface FsFeedStoreInit {
  /** Shared by all stores of a process: bounds how many files are open. @default a pool of its own */
  handles?: Handles
}

interface Job { bytes: Uint8Array, resolve: () => void, reject: (error: unknown) => void }

const CLEAN_END = 'clean-end'
const NOTE_BYTES_MAX = 4096
/** Names the feeds that have a log here: one that was deleted under a stopped node is missed, also when no record names it. */
const FEEDS = 'feeds'
/** Names in that list: more feeds than this leave the later ones unlisted, and so their loss untold. */
const LISTED_MAX = 20_000

export class FsFeedStore implements FeedStore {
  readonly dir: string
  readonly #handles: Handles
  /** Bytes of each log that were acknowledged. */
  readonly #sizes = new Map<string, number>()
  /** Feeds of {@link FEEDS}; those without a log are gone. */
  #listed = new Set<FeedId>()
  readonly #queues = new Map<string, Job[]>()
  readonly #flushing = new Map<string, Promise<void>>()
  /** A log went under this store, and cannot be written anew: whatever comes after it would lead to nothing. */
  #lost: ElderError | undefined
  #hasNote = true
  #loaded = false
  #closed = false

  private constructor (dir: string, handles: Handles) {
    this.dir = dir
    this.#handles = handles
  }

  /** Creates the directory (mode 0700) when it is missing. */
  static async open (dir: string, { handles = new Handles() }: FsFeedStoreInit = {}): Promise<FsFeedStore> {
    if (await mkdir(dir, { recursive: true, mode: 0o700 }) !== undefined) await syncDirectory(dirname(dir))
    return new FsFeedStore(dir, handles)
  }

  async load (): Promise<LoadedFeeds> {
    const loaded: LoadedFeeds = { batches: [], damaged: [], cleanEnd: await this.#cleanEnd() }
    this.#listed = await this.#readList()
    for (const { name, feed } of await this.#logs()) {
      const bytes = await readRegular(join(this.dir, name))
      const log = readLog(feed, bytes)
      loaded.batches.push(...log.batches)
      loaded.damaged.push(...await this.#settle(feed, bytes, log))
    }
    loaded.damaged.push(...this.#gone())
    await this.#list()
    this.#loaded = true
    return loaded
  }

  async reread (): ReturnType<FeedStore['reread']> {
    this.#check()
    const found: Awaited<ReturnType<FeedStore['reread']>> = { batches: [], damaged: [] }
    for (const { name, feed } of await this.#logs()) {
      const bytes = await readRegular(join(this.dir, name))
      const size = this.#sizes.get(name) ?? 0
      const { batches, damaged, torn } = readLog(feed, bytes.subarray(0, size))
      found.batches.push(...batches)
      found.damaged.push(...[...damaged, ...torn === undefined ? [] : [torn]].map(gap => this.#damage(feed, gap)))
      if (bytes.length < size) found.damaged.push(this.#damage(feed, { at: bytes.length, bytes: size - bytes.length }))
    }
    found.damaged.push(...this.#gone())
    return found
  }

  async append (batches: readonly Batch[]): Promise<void> {
    this.#check()
    if (this.#lost !== undefined) throw this.#lost
    const [first] = batches
    if (first === undefined) return
    const name = `${first.feed}.log`
    const bytes = Buffer.concat(batches.map(frameOf))
    await new Promise<void>((resolve, reject) => {
      this.#queues.set(name, [...this.#queues.get(name) ?? [], { bytes, resolve, reject }])
      if (!this.#flushing.has(name)) this.#flushing.set(name, this.#flush(name))
    })
  }

  async forgetCleanEnd (): Promise<void> {
    this.#check()
    if (!this.#hasNote) return
    await removeFile(join(this.dir, CLEAN_END))
    this.#hasNote = false
  }

  async close (cleanEnd?: { feed: FeedId, name: string }): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all(this.#flushing.values())
    await this.#handles.closeAll(path => dirname(path) === this.dir)
    if (this.#loaded) await this.#list()
    // Only a note: without it the next life opens a new incarnation.
    if (cleanEnd !== undefined) await this.#note(cleanEnd).catch(() => undefined)
  }

  #check (): void {
    if (this.#closed) throw new ElderError('CLOSED', 'the feed store is closed')
    // Without it nothing is known about the logs, and a torn tail would end up in the middle of one.
    if (!this.#loaded) throw new Error('a feed store is loaded before it is written')
  }

  async #logs (): Promise<Array<{ name: string, feed: FeedId }>> {
    return (await readdir(this.dir)).sort().flatMap(name => {
      const feed = feedOfName(name)
      return feed === undefined ? [] : [{ name, feed }]
    })
  }

  async #flush (name: string): Promise<void> {
    for (let jobs = this.#take(name); jobs.length > 0; jobs = this.#take(name)) await this.#commit(name, jobs)
    this.#flushing.delete(name)
  }

  #take (name: string): Job[] {
    const jobs = this.#queues.get(name) ?? []
    this.#queues.delete(name)
    return jobs
  }

  /** One write and one fdatasync for everything that waits for this file. All of it is acknowledged, or none. */
  async #commit (name: string, jobs: readonly Job[]): Promise<void> {
    const bytes = Buffer.concat(jobs.map(job => job.bytes))
    const path = join(this.dir, name)
    const known = this.#sizes.get(name) ?? 0
    try {
      if (this.#lost !== undefined) throw this.#lost
      // To be read, too: a log whose name was removed is written anew from the file that is still open.
      const before = await this.#handles.use(path, 'a+', async file => {
        if (await isUnlinked(file, path)) return await this.#anew(path, bytes, await readOpen(file, known))
        // One that was removed while it was not open has just been made, and is empty.
        if ((await file.stat()).size < known) throw this.#lose(path)
        return await appendAll(file, bytes)
      })
      if (before === undefined) await this.#reopen(path)
      else if (before === 0) await syncDirectory(this.dir)
      this.#sizes.set(name, (before ?? known) + bytes.length)
      for (const job of jobs) job.resolve()
    } catch (error) {
      for (const job of jobs) job.reject(ioError(error))
    }
  }

  /** Another file that took the name is left as it is. @throws ElderError `STORAGE` */
  async #anew (path: string, bytes: Buffer, before: Buffer): Promise<undefined> {
    const isTaken = await stat(path).then(() => true, () => false)
    if (isTaken || before.length < (this.#sizes.get(basename(path)) ?? 0)) throw this.#lose(path)
    await replaceFile(path, Buffer.concat([before, bytes])).catch(() => { throw this.#lose(path) })
  }

  /** The pool holds the file without a name still. */
  async #reopen (path: string): Promise<void> {
    await this.#handles.close(path)
    await this.#handles.use(path, 'a+', async () => {})
  }

  #lose (path: string): ElderError {
    return this.#lost ??= new ElderError(
      'STORAGE', `${path} was removed or replaced under the running node: nothing was written, and nothing will be`,
      'Stop the node, bring that file back from a backup if there is one, and start: others send the rest.',
    )
  }

  /** Cuts a torn tail. A log with other bytes that do not read is kept aside as it is, and what reads of it goes on in a new file. */
  async #settle (feed: FeedId, bytes: Buffer, { batches, damaged, torn }: ReadLog): Promise<Damage[]> {
    const name = `${feed}.log`
    if (damaged.length === 0) {
      if (torn !== undefined) await truncate(join(this.dir, name), torn.at)
      this.#sizes.set(name, torn?.at ?? bytes.length)
      return []
    }
    const good = Buffer.concat(batches.map(frameOf))
    try {
      const file = await this.#keepAside(name, (damaged[0] as Gap).at)
      await replaceFile(join(this.dir, name), good)
      this.#sizes.set(name, good.length)
      return damaged.map(gap => ({ feed, file, ...gap }))
    } catch {
      // A disk that takes no file: the log stays as it is, and the next frame is found behind whatever does not read.
      this.#sizes.set(name, bytes.length)
      return damaged.map(gap => this.#damage(feed, gap))
    }
  }

  /** Another name for the same bytes, durable before anything is written in their place. @returns its path */
  async #keepAside (name: string, at: number): Promise<string> {
    const taken = new Set(await readdir(this.dir))
    let aside = `${name}.damaged-${at}`
    for (let i = 2; taken.has(aside); i++) aside = `${name}.damaged-${at}.${i}`
    const path = join(this.dir, aside)
    await link(join(this.dir, name), path)
    await syncDirectory(this.dir)
    return path
  }

  #damage (feed: FeedId, { at, bytes }: Gap): Damage { return { feed, file: join(this.dir, `${feed}.log`), at, bytes } }

  #gone (): Damage[] {
    const gone = [...this.#listed].filter(feed => !this.#sizes.has(`${feed}.log`))
    return gone.map(feed => ({ ...this.#damage(feed, { at: 0, bytes: 0 }), gone: true }))
  }

  /**
   * Once for each new feed. A lower bound is enough: logs are never removed one by one, so the list of an earlier life
   * stays true.
   */
  async #list (): Promise<void> {
    const feeds = new Set([...this.#listed, ...[...this.#sizes.keys()].flatMap(name => feedOfName(name) ?? [])])
    if (feeds.size === this.#listed.size) return
    const listed = [...feeds].slice(0, LISTED_MAX)
    // A disk that takes no file: what is there is there all the same.
    await replaceFile(join(this.dir, FEEDS), framed(encode(listed.map(feedKey))), { syncName: false })
      .then(() => { this.#listed = new Set(listed) }, () => undefined)
  }

  /** One that does not read is made anew of what is there. */
  async #readList (): Promise<Set<FeedId>> {
    try {
      const keys = decode(unframed(await readRegular(join(this.dir, FEEDS))) ?? new Uint8Array(), LISTED_MAX * 64)
      return new Set(Array.isArray(keys) ? keys.map(key => feedIdOf(key as Uint8Array)) : [])
    } catch {
      return new Set()
    }
  }

  /** note := [feedKey, head, size, ctime]: the log was just so when this device left it. A copy or a restored backup has another ctime. */
  async #note ({ feed, name }: { feed: FeedId, name: string }): Promise<void> {
    const { size, ctimeNs } = await stat(join(this.dir, `${feed}.log`), { bigint: true })
    await replaceFile(join(this.dir, CLEAN_END), framed(encode([feedKey(feed), fromHex(name) as Uint8Array, `${size} ${ctimeNs}`])))
  }

  async #cleanEnd (): Promise<LoadedFeeds['cleanEnd']> {
    try {
      const note = unframed(await readRegular(join(this.dir, CLEAN_END)))
      if (note === undefined) return undefined
      const [key, head, place] = decode(note, NOTE_BYTES_MAX) as [Uint8Array, Uint8Array, string]
      const feed = feedIdOf(key)
      const { size, ctimeNs } = await stat(join(this.dir, `${feed}.log`), { bigint: true })
      return place === `${size} ${ctimeNs}` ? { feed, name: toHex(head) } : undefined
    } catch {
      // No note, or one that does not read: not a clean end.
      return undefined
    }
  }
}

function feedOfName (name: string): FeedId | undefined {
  const feed = name.replace(/\.log$/, '') as FeedId
  if (feed === name) return undefined
  try {
    feedKey(feed)
    return feed
  } catch {
    return undefined
  }
}
