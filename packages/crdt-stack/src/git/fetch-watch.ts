/** Ends a fetch that brings more than a mirror has, or would fill the disk: how much a host will send is not known before. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
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
}

const LOOK_MS = 250
const RESERVE_BYTES_MAX = 1_073_741_824
const RESERVE_PART = 0.05

/** Measures what is there, then looks four times a second at what grows. */
export async function watchFetch ({ dir, url, signal, bytesMax = LIMITS.mirrorBytesMax, reserveBytes }: FetchWatchInit): Promise<FetchWatch> {
  const heldBytes = await sizeOf(join(dir, 'objects'), () => true)
  const disk = await statfs(dir)
  const reserve = reserveBytes ?? Math.min(RESERVE_BYTES_MAX, disk.blocks * disk.bsize * RESERVE_PART, disk.bavail * disk.bsize / 2)
  const over = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const look = async (): Promise<void> => {
    const newBytes = await sizeOf(join(dir, 'objects', 'pack'), name => name.startsWith('tmp_'))
    const { bavail, bsize } = await statfs(dir)
    if (heldBytes + newBytes > bytesMax) over.abort(tooLarge(url, `it sends more than ${bytesMax} bytes`))
    else if (bavail * bsize < reserve) over.abort(new ElderError('DISK_FULL', `The disk of this device would run full of what ${url} sends.`, 'Free some space; the mirror is tried again by itself.'))
  }
  const next = (): void => { timer = setTimeout(() => { void look().catch(() => {}).finally(() => { if (!over.signal.aborted && !stopped) next() }) }, LOOK_MS) }
  let stopped = false
  next()
  return {
    signal: AbortSignal.any([signal, over.signal]),
    stop () {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** Bytes of the files below a folder whose names count. What goes away meanwhile is not counted. */
async function sizeOf (dir: string, counts: (name: string) => boolean): Promise<number> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => [])
  let bytes = 0
  for (const entry of entries) if (entry.isFile() && counts(entry.name)) bytes += await stat(join(entry.parentPath, entry.name)).then(({ size }) => size, () => 0)
  return bytes
}
