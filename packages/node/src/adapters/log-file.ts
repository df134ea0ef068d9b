/**
 * A log that stays small however long its process runs and whatever it is told: it turns over by size, and a few old ones are kept.
 * Writing is synchronous, so that the last lines before a SIGKILL are there to be read, and never throws: a full disk or a lack of
 * file descriptors costs lines, not the process.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

export interface LogFileInit {
  /** Bytes of one file, about. @default 8 MiB */
  bytesMax?: number
  /** Old files: `<path>.1` is the youngest. @default 2 */
  kept?: number
}

const OWNER_ONLY = 0o600

export class LogFile {
  readonly #path: string
  readonly #bytesMax: number
  readonly #kept: number
  #fd: number
  #bytes: number

  /** @throws what opening it throws */
  constructor (path: string, { bytesMax = 8 * 2 ** 20, kept = 2 }: LogFileInit = {}) {
    this.#path = path
    this.#bytesMax = bytesMax
    this.#kept = kept
    this.#fd = openSync(path, 'a', OWNER_ONLY)
    this.#bytes = fstatSync(this.#fd).size
  }

  /** One line, its end included. */
  write (line: string): void {
    const bytes = Buffer.from(line)
    try {
      if (this.#bytes > 0 && this.#bytes + bytes.length > this.#bytesMax) this.#turnOver()
      this.#bytes += writeSync(this.#fd, bytes)
    } catch {
      // The next line may find space again.
    }
  }

  close (): void { closeSync(this.#fd) }

  /** The oldest is overwritten. When the new file cannot be opened, the old one goes on. */
  #turnOver (): void {
    for (let age = this.#kept; age > 0; age--) rename(age === 1 ? this.#path : `${this.#path}.${age - 1}`, `${this.#path}.${age}`)
    const fd = openSync(this.#path, 'a', OWNER_ONLY)
    closeSync(this.#fd)
    this.#fd = fd
    this.#bytes = fstatSync(fd).size
  }
}

function rename (from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch {
    // There is none of that age yet.
  }
}
