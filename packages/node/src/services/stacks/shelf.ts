/**
 * What stands in the folder of each stack beside its feeds: its name, and for an archived stack where it came from.
 *
 * The folder is named by the key, which is a hash of the name, so a lost name cannot be computed; but whoever says it (a peer, a
 * remote, a person) can be believed when it has that hash.
 */
import { checkNamed, codeOf, decode, encode, LIMITS, MalformedError, parseStackKey, type Crypto, type StackKey } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

/** stack.cbor := [key, name]; archive.cbor := [record bytes, ...] */
export const NAME_FILE = 'stack.cbor'
export const ARCHIVE_FILE = 'archive.cbor'
const NAME_BYTES_MAX = 1024
/** Each record with what CBOR puts before it, and before all of them. */
const ARCHIVE_BYTES_MAX = LIMITS.rosterKeptMax * (LIMITS.memberRecordBytesMax + 3) + 9

/** A stack on this disk whose name does not read. */
export interface Nameless { key: StackKey, path: string, message: string }

export class Shelf {
  readonly #files: PrivateFiles
  readonly #crypto: Crypto
  readonly #names = new Map<StackKey, string>()
  readonly #nameless = new Map<StackKey, Nameless>()
  readonly #archives = new Map<StackKey, Uint8Array[]>()

  constructor ({ files, crypto }: { files: PrivateFiles, crypto: Crypto }) {
    this.#files = files
    this.#crypto = crypto
    for (const folder of files.list()) {
      const key = keyOf(folder)
      if (key !== undefined) this.#look(key)
    }
  }

  names (): ReadonlyMap<StackKey, string> { return this.#names }
  nameless (): ReadonlyMap<StackKey, Nameless> { return this.#nameless }

  /** Durable on return. */
  add (key: StackKey, name: string): void {
    if (this.#names.has(key)) return
    this.#files.replace(`${key}/${NAME_FILE}`, encode([key, checkNamed(key, name, this.#crypto)]))
    this.#names.set(key, name)
    this.#nameless.delete(key)
  }

  /** Call when the folder of a stack was deleted. */
  forget (key: StackKey): void {
    this.#names.delete(key)
    this.#archives.delete(key)
  }

  /** The membership records of the mesh an archived stack came from; empty for stacks of this mesh. @throws ElderError `FILE_DAMAGED` */
  origin (key: StackKey): Uint8Array[] {
    const known = this.#archives.get(key)
    if (known !== undefined) return known
    const bytes = this.#files.read(`${key}/${ARCHIVE_FILE}`)
    const records = bytes === undefined ? [] : arrayOf(decode(bytes, ARCHIVE_BYTES_MAX)).filter(record => record instanceof Uint8Array)
    this.#archives.set(key, records)
    return records
  }

  /** As {@link origin}; empty when it is damaged: it is to be replaced by what others hold. */
  originThatReads (key: StackKey): Uint8Array[] {
    try {
      return this.origin(key)
    } catch (error) {
      if (codeOf(error) !== 'FILE_DAMAGED' && codeOf(error) !== 'MALFORMED') throw error
      return []
    }
  }

  /** Durable on return; before the stack is added, so that no archived stack is without its origin. */
  saveOrigin (key: StackKey, records: Uint8Array[]): void {
    this.#files.replace(`${key}/${ARCHIVE_FILE}`, encode(records))
    this.#archives.set(key, records)
  }

  /** An empty folder is what a crash left of a stack that was never written. */
  #look (key: StackKey): void {
    const file = `${key}/${NAME_FILE}`
    const path = this.#files.path(file)
    try {
      const bytes = this.#files.read(file)
      if (bytes !== undefined) this.#names.set(key, this.#nameIn(bytes, key))
      else if (this.#files.list(key).length > 0) this.#nameless.set(key, { key, path, message: `${path} is missing` })
    } catch (error) {
      const { message } = error as Error
      this.#nameless.set(key, { key, path, message: codeOf(error) === 'MALFORMED' ? `${path} does not read: ${message}` : message })
    }
  }

  #nameIn (bytes: Uint8Array, key: StackKey): string {
    const [text, name] = arrayOf(decode(bytes, NAME_BYTES_MAX))
    if (text !== key) throw new MalformedError('it belongs to another stack')
    return checkNamed(key, name, this.#crypto)
  }
}

function keyOf (folder: string): StackKey | undefined {
  try {
    return parseStackKey(folder).key
  } catch {
    return undefined
  }
}

function arrayOf (value: unknown): Array<ReturnType<typeof decode>> {
  if (!Array.isArray(value)) throw new MalformedError('it holds something else')
  return value
}
