/**
 * Tells of remotes that another device added: what is written goes there from now on, so its owner hears of each of them, once.
 * What a device finds in its first minutes was there before it came.
 */
import { fromUtf8, utf8 } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

interface Kept { sinceMs: number, seenMs: Record<string, number> }

const FILE = 'remotes-seen.json'
const FIRST_MS = 600_000
/** Long enough for a person to come by. */
const TOLD_MS = 86_400_000
const NAMES_MAX = 10_000

export class RemoteNews {
  readonly #files: PrivateFiles
  readonly #kept: Kept

  constructor (files: PrivateFiles, nowMs: number) {
    this.#files = files
    this.#kept = load(files) ?? { sinceMs: nowMs, seenMs: {} }
  }

  /** Those of `names` that were seen first within the last day. Remembers all of them, over restarts. */
  fresh (names: readonly string[], nowMs: number): Set<string> {
    const { seenMs, sinceMs } = this.#kept
    const before = JSON.stringify(this.#kept)
    const known = names.slice(0, NAMES_MAX).map(name => [name, seenMs[name] ?? (nowMs - sinceMs < FIRST_MS ? 0 : nowMs)] as const)
    this.#kept.seenMs = Object.fromEntries(known)
    if (JSON.stringify(this.#kept) !== before || this.#files.readCache(FILE) === undefined) this.#files.replace(FILE, utf8(JSON.stringify(this.#kept)))
    return new Set(known.filter(([, atMs]) => atMs > 0 && nowMs - atMs < TOLD_MS).map(([name]) => name))
  }
}

function load (files: PrivateFiles): Kept | undefined {
  try {
    const bytes = files.readCache(FILE)
    const { sinceMs, seenMs } = (bytes === undefined ? {} : JSON.parse(fromUtf8(bytes))) as { sinceMs?: unknown, seenMs?: unknown }
    if (typeof sinceMs !== 'number' || typeof seenMs !== 'object' || seenMs === null) return undefined
    return { sinceMs, seenMs: Object.fromEntries(Object.entries(seenMs).filter((pair): pair is [string, number] => typeof pair[1] === 'number')) }
  } catch {
    return undefined
  }
}
