/**
 * Holds a build to its disk limit, and the machine above a reserve: for every engine whose file system knows no quota.
 *
 * Walking a big tree is dear, asking a file system for its free space is not. So the free space is asked four times a second,
 * and the folders are walked (by `du`, beside this process) only when so much has gone that the build could be over its limit,
 * and once in a while. A walk is followed by at least ten times its own duration of rest.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import type { StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { ElderError } from '@elder-node/protocol'
import { findTool } from './system-tools.ts'

export interface DiskWatchInit {
  /** Folders whose content counts, asked before each walk; the first is where the free space is asked. They may come and go. */
  folders: () => string[] | Promise<string[]>
  /** What they may hold together. */
  bytesMax: number
  /** The limit is passed, or the disk runs full and no other watched build on it holds more. Called once. */
  onFull: (why: { heldBytes: number, cause: 'limit' | 'reserve' }) => void
  /** Free space below which builds end, biggest first. @default 1 GiB, or a twentieth of the disk, or half of what is free at the start, whichever is least */
  reserveBytes?: number
  /** Bytes that the folders hold; undefined when that cannot be told. @default {@link heldBytes} */
  walk?: (folders: string[], signal: AbortSignal) => Promise<number | undefined>
  /** The file system that a folder is on. @default {@link statfs} */
  statfs?: (folder: string) => Promise<StatsFs>
}

const ASK_MS = 250
/** The first look; a build that is over by then pays nothing. */
const FIRST_WALK_MS = 1000
/** What shrinks while it grows elsewhere does not show in the free space: a look once in a while. */
const IDLE_WALK_MS = 15_000
const REST_FACTOR = 10
const IDLE_REST_FACTOR = 50
const RESERVE_BYTES_MAX = 1_073_741_824
const RESERVE_PART = 0.05
/** Files that a disk must still be able to make, as a part of all. */
const FILES_PART = 0.01
/** When the disk runs full: whoever cannot be counted by then has made itself hard to count, and goes first. */
const COUNTED_MS = 2000
/** After one build ended, its space comes back in a moment: the next is not ended for it. */
const MERCY_MS = 2000

/** Watches of this process by file system: who is biggest when it runs full. */
const watches = new Set<DiskWatch>()
let isMakingRoom = false
let mercyUntilMs = 0

export class DiskWatch {
  readonly #init: DiskWatchInit
  readonly #startMs = performance.now()
  readonly #stopped = new AbortController()
  #timer: NodeJS.Timeout
  #heldBytes = 0
  #freeAtWalk: number | undefined
  #walkedMs: number | undefined
  #walkTookMs = 0
  #walking: Promise<number> | undefined
  #full = false
  /** Of the file system; two builds on one share its fate. */
  #disk = ''
  #reserve: number | undefined

  /** Begins at once. */
  constructor (init: DiskWatchInit) {
    this.#init = init
    this.#reserve = init.reserveBytes
    watches.add(this)
    this.#timer = setTimeout(this.#turn, ASK_MS)
  }

  /** True when this watch ended the build. */
  get full (): boolean { return this.#full }

  stop (): void {
    watches.delete(this)
    clearTimeout(this.#timer)
    this.#stopped.abort()
  }

  readonly #turn = (): void => {
    void this.#look().catch(() => undefined).finally(() => {
      if (!this.#stopped.signal.aborted && !this.#full) this.#timer = setTimeout(this.#turn, ASK_MS)
    })
  }

  async #look (): Promise<void> {
    const disk = await this.#ask()
    if (disk === undefined) return
    const freeBytes = disk.bavail * disk.bsize
    this.#reserve ??= reserveOf(disk)
    this.#freeAtWalk ??= freeBytes
    if (this.#isLow(disk)) return await this.#makeRoom()
    // Not waited for: a tree of a million files must not hide how the disk runs full meanwhile.
    if (this.#walking === undefined && this.#isDue(this.#freeAtWalk - freeBytes)) void this.measure(freeBytes).catch(() => 0)
    if (this.#heldBytes > this.#init.bytesMax) this.#end('limit')
  }

  async #ask (): Promise<StatsFs | undefined> {
    const [folder] = await this.#init.folders()
    if (folder === undefined) return undefined
    const disk = await (this.#init.statfs ?? statfs)(folder)
    this.#disk = `${disk.type}:${disk.blocks}:${disk.files}`
    return disk
  }

  #isLow ({ bavail, bsize, files, ffree }: StatsFs): boolean {
    return bavail * bsize < (this.#reserve ?? 0) || (files > 0 && ffree < files * FILES_PART)
  }

  #isDue (gone: number): boolean {
    const now = performance.now()
    if (this.#walkedMs === undefined) return now - this.#startMs >= FIRST_WALK_MS || gone >= this.#init.bytesMax
    const rested = now - this.#walkedMs
    if (rested >= Math.max(IDLE_WALK_MS, IDLE_REST_FACTOR * this.#walkTookMs)) return true
    return this.#heldBytes + gone >= this.#init.bytesMax && rested >= REST_FACTOR * this.#walkTookMs
  }

  /** What the folders hold now. One walk at a time. */
  measure (freeBytes?: number): Promise<number> {
    this.#walking ??= this.#walk(freeBytes).finally(() => { this.#walking = undefined })
    return this.#walking
  }

  async #walk (freeBytes?: number): Promise<number> {
    const start = performance.now()
    this.#heldBytes = await (this.#init.walk ?? heldBytes)(await this.#init.folders(), this.#stopped.signal) ?? this.#heldBytes
    this.#walkedMs = performance.now()
    this.#walkTookMs = this.#walkedMs - start
    if (freeBytes !== undefined) this.#freeAtWalk = freeBytes
    return this.#heldBytes
  }

  /** The biggest build on this disk ends; the others go on when that was enough. */
  async #makeRoom (): Promise<void> {
    // Counting may take longer than the mercy: whoever sees the full disk meanwhile must not end a second one.
    if (isMakingRoom || performance.now() < mercyUntilMs) return
    isMakingRoom = true
    try {
      // One that has just begun may not have asked yet which disk it is on.
      await Promise.all([...watches].map(watch => inTime(watch.#ask().catch(() => undefined), undefined)))
      const rivals = [...watches].filter(watch => watch.#disk === this.#disk && !watch.#full)
      const counted = await Promise.all(rivals.map(async watch => {
        return { watch, bytes: await inTime(watch.measure().catch(() => 0), Infinity) }
      }))
      // Whoever ended by itself while they were counted may have left room enough.
      const disk = await inTime(this.#ask().catch(() => undefined), undefined)
      if (disk !== undefined && !this.#isLow(disk)) return
      const biggest = counted.sort((a, b) => a.bytes === b.bytes ? 0 : b.bytes - a.bytes)[0]
      if (biggest !== undefined) biggest.watch.#end('reserve')
    } finally {
      isMakingRoom = false
      mercyUntilMs = performance.now() + MERCY_MS
    }
  }

  #end (cause: 'limit' | 'reserve'): void {
    if (this.#full || this.#stopped.signal.aborted) return
    this.#full = true
    this.#init.onFull({ heldBytes: this.#heldBytes, cause })
  }
}

/** What the work gives, or `otherwise` when it takes longer than {@link COUNTED_MS}. */
async function inTime<T> (work: Promise<T>, otherwise: T): Promise<T> {
  const late = new AbortController()
  const deadline = delay(COUNTED_MS, otherwise, { ref: false, signal: late.signal }).catch(() => otherwise)
  const result = await Promise.race([work, deadline])
  late.abort()
  return result
}

function reserveOf ({ bavail, bsize, blocks }: StatsFs): number { return Math.min(RESERVE_BYTES_MAX, blocks * bsize * RESERVE_PART, bavail * bsize / 2) }

const full = (): ElderError => new ElderError('SOURCE_TOO_LARGE', 'the disk of this builder would run full', 'Build on another device with --on, or free some space there.')

/** Refuses what would leave the disk of the folder less than its reserve. @throws ElderError `SOURCE_TOO_LARGE` */
export async function needRoom (folder: string, { bytes, files }: { bytes: number, files: number }): Promise<void> {
  const disk = await statfs(folder)
  if (disk.bavail * disk.bsize - bytes < reserveOf(disk) || (disk.files > 0 && disk.ffree - files < disk.files * FILES_PART)) throw full()
}

/**
 * Writes into a folder ahead of a build, and ends when the disk runs full: what comes leaves before what runs. `write` must have
 * ended when its signal has aborted it.
 *
 * @throws ElderError `SOURCE_TOO_LARGE`
 */
export async function aheadOfBuilds<T> (folder: string, signal: AbortSignal, write: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController()
  const disk = new DiskWatch({ folders: () => [folder], bytesMax: Infinity, walk: () => Promise.resolve(Infinity), onFull: () => { over.abort(full()) } })
  try {
    return await write(AbortSignal.any([signal, over.signal]))
  } catch (error) {
    throw over.signal.aborted ? over.signal.reason as Error : error
  } finally {
    disk.stop()
  }
}

const NICE = findTool('nice')

/** Bytes on disk, hard links once; what cannot be read is left out. Undefined when nothing could be measured. */
export function heldBytes (folders: string[], signal?: AbortSignal): Promise<number | undefined> {
  const du = findTool('du') ?? 'du'
  const [program = du, ...args] = [...NICE === undefined ? [] : [NICE, '-n', '10'], du, '-skxc', '--', ...folders]
  return new Promise(resolve => {
    // Without a file descriptor to spare there is no pipe: only the error comes.
    const child: ChildProcess = spawn(program, args, {
      cwd: '/', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'ignore'], ...(signal === undefined ? {} : { signal }),
    })
    let text = ''
    child.once('error', () => { resolve(undefined) })
    child.stdout?.on('data', (data: Buffer) => { text = (text + data.toString()).slice(-4096) })
    // It fails when a file went away under it; the sum of the rest is printed all the same.
    child.once('close', () => {
      // The last line: a name of the build's choice can look like it.
      const total = /(?:^|\n)(\d+)\ttotal\n$/.exec(text)?.[1]
      resolve(total === undefined ? undefined : Number(total) * 1024)
    })
  })
}
