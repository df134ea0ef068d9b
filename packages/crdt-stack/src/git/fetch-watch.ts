/** Ends a fetch that brings more than a mirror has, or would fill the disk: how much a host will send is not known before. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ElderError, LIMITS } from '@elder-node/protocol'
import { tooLarge } from './tree-listing.ts'

export interface FetchWatchInit {
  /** The bare cache. */
  dir: string
  /** For people. */
  url: string
  /** The caller's. */
  signal: AbortSignal
  /** Bytes of the whole cache. @default LIMITS.mirrorBytesMax */
  bytesMax?: number
  /** Free space that stays. @default 1 GiB, or a twentieth of the disk, or half of what is free at the start, whichever is least */
  reserveBytes?: number
}

export interface FetchWatch {
  /** Aborts with the caller's reason, or with an ElderError `MIRROR_TOO_LARGE` or `DISK_FULL`. */
  readonly signal: AbortSignal
  stop (): void
  /** Looks once more, at what a fetch of a moment has brought. @throws as the signal's reason says */
  settle (): Promise<void>
}

const LOOK_MS = 250
/** A walk over many loose objects is followed by so many times its own duration of rest. */
const REST_FACTOR = 4
const RESERVE_BYTES_MAX = 1_073_741_824
const RESERVE_PART = 0.05

/** Looks at all objects, up to four times a second: a host that speaks the old protocol of plain files leaves them under any name. */
export async function watchFetch ({ dir, url, signal, bytesMax = LIMITS.mirrorBytesMax, reserveBytes }: FetchWatchInit): Promise<FetchWatch> {
  const disk = await statfs(dir)
  const reserve = reserveBytes ?? Math.min(RESERVE_BYTES_MAX, disk.blocks * disk.bsize * RESERVE_PART, disk.bavail * disk.bsize / 2)
  const over = new AbortController()
  const stopped = new AbortController()
  const look = async (): Promise<void> => {
    const { bavail, bsize } = await statfs(dir)
    if (bavail * bsize < reserve) over.abort(new ElderError('DISK_FULL', `The disk of this device would run full of what ${url} sends.`, 'Free some space; the mirror is tried again by itself.'))
    else if (await sizeOf(join(dir, 'objects')) > bytesMax) over.abort(tooLarge(url, `it sends more than ${bytesMax} bytes`))
  }
  const watch = async (): Promise<void> => {
    for (let tookMs = 0; !over.signal.aborted;) {
      await delay(Math.max(LOOK_MS, REST_FACTOR * tookMs), undefined, { signal: stopped.signal })
      const beganMs = performance.now()
      // A file goes away while it is looked at: the next look counts.
      await look().catch(() => {})
      tookMs = performance.now() - beganMs
    }
  }
  watch().catch(() => {})
  const settle = async (): Promise<void> => {
    await look()
    over.signal.throwIfAborted()
  }
  return { signal: AbortSignal.any([signal, over.signal]), stop: () => { stopped.abort() }, settle }
}

/** Bytes of the files below a folder. What goes away meanwhile is not counted. */
async function sizeOf (dir: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += await stat(join(entry.parentPath, entry.name)).then(({ size }) => size, () => 0)
  }
  return bytes
}
