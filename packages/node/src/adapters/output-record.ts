/**
 * What earlier builds wrote here, by folder: the difference between a product that the next build may replace and a
 * file of somebody's. A record that is missing or does not read is none: then nothing is replaced that was not sent.
 */
import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { fromUtf8, LIMITS, utf8 } from '@elder-node/protocol'
import { makePrivateDir } from './files.ts'
import { privateFiles } from './private-files.ts'

/** Folders remembered; the one written to longest ago is forgotten first. */
const FOLDERS_MAX = 64

export interface OutputRecordInit {
  /** @default 64 */
  foldersMax?: number
  /** Of one folder; those written longest ago are forgotten first. @default LIMITS.outputFilesMax */
  filesMax?: number
}

export class OutputRecord {
  readonly #dir: string
  readonly #files: ReturnType<typeof privateFiles>
  readonly #init: Required<OutputRecordInit>

  /** `dir`: its own, in the data directory. */
  constructor (dir: string, init: OutputRecordInit = {}) {
    this.#dir = dir
    this.#files = privateFiles(dir)
    this.#init = { foldersMax: FOLDERS_MAX, filesMax: LIMITS.outputFilesMax, ...init }
  }

  /** Path to sha256 of what was written below the folder. */
  of (folder: string): Map<string, string> {
    const bytes = this.#files.readCache(nameOf(folder))
    return new Map(bytes === undefined ? [] : parse(fromUtf8(bytes), folder))
  }

  /** In one turn, so that two builds of one folder both count. Never throws: what is not noted, stays. */
  add (folder: string, written: ReadonlyMap<string, string>): void {
    if (written.size === 0) return
    try {
      this.#write(folder, written)
    } catch {
      // A full disk, as a rule: the outputs are there, and a build need not fail for it.
    }
  }

  #write (folder: string, written: ReadonlyMap<string, string>): void {
    const all = this.of(folder)
    for (const [path, sha256] of written) {
      all.delete(path)
      all.set(path, sha256)
    }
    const files = [...all].slice(-this.#init.filesMax)
    makePrivateDir(this.#dir)
    this.#files.replace(nameOf(folder), utf8(JSON.stringify({ folder, files })))
    this.#trim()
  }

  #trim (): void {
    const names = this.#files.list().filter(name => NAME.test(name))
    if (names.length <= this.#init.foldersMax) return
    const paths = names.map(name => this.#files.path(name))
    const byAge = paths.map(path => ({ path, ms: statSync(path).mtimeMs })).sort((a, b) => b.ms - a.ms)
    for (const { path } of byAge.slice(this.#init.foldersMax)) rmSync(path, { force: true })
  }
}

const NAME = /^[0-9a-f]{32}$/

function nameOf (folder: string): string { return createHash('sha256').update(folder).digest('hex').slice(0, 32) }

function isEntry (value: unknown): value is [string, string] {
  return Array.isArray(value) && value.every(part => typeof part === 'string')
}

function parse (text: string, folder: string): Array<[string, string]> {
  try {
    const value = JSON.parse(text) as { folder?: unknown, files?: unknown }
    return value.folder === folder && Array.isArray(value.files) ? value.files.filter(isEntry) : []
  } catch {
    return []
  }
}
