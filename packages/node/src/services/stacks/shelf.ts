/** Which stacks this device holds, and where archived ones came from: small files beside the feeds. */
import { checkNamed, decode, encode, LIMITS, MalformedError, parseStackKey, type Crypto, type StackKey } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

/** index := [[key, name], ...]; origin := [record bytes, ...] */
const INDEX = 'index.cbor'
const INDEX_BYTES_MAX = LIMITS.stacksMax * 256
const ORIGIN_BYTES_MAX = LIMITS.rosterRecordsMax * LIMITS.memberRecordBytesMax

export class Shelf {
  readonly #files: PrivateFiles
  readonly #names = new Map<StackKey, string>()
  readonly #origins = new Map<StackKey, Uint8Array[]>()

  /** @throws MalformedError when the index was damaged by hand. */
  constructor ({ files, crypto }: { files: PrivateFiles, crypto: Crypto }) {
    this.#files = files
    const bytes = files.read(INDEX)
    for (const item of bytes === undefined ? [] : arrayOf(decode(bytes, INDEX_BYTES_MAX))) {
      const [text, name] = arrayOf(item)
      const { key } = parseStackKey(text)
      this.#names.set(key, checkNamed(key, name, crypto))
    }
  }

  names (): ReadonlyMap<StackKey, string> { return this.#names }

  /** Durable on return. */
  add (key: StackKey, name: string): void {
    if (this.#names.has(key)) return
    this.#files.replace(INDEX, encode([...this.#names, [key, name]]))
    this.#names.set(key, name)
  }

  /** The membership records of the mesh an archived stack came from; empty for stacks of this mesh. */
  origin (key: StackKey): Uint8Array[] {
    const known = this.#origins.get(key)
    if (known !== undefined) return known
    const bytes = this.#files.read(`${key}.origin`)
    const records = bytes === undefined ? [] : arrayOf(decode(bytes, ORIGIN_BYTES_MAX)).filter(record => record instanceof Uint8Array)
    this.#origins.set(key, records)
    return records
  }

  /** Durable on return; before the stack is added, so that no archived stack is without its origin. */
  saveOrigin (key: StackKey, records: Uint8Array[]): void {
    this.#files.replace(`${key}.origin`, encode(records))
    this.#origins.set(key, records)
  }
}

function arrayOf (value: unknown): Array<ReturnType<typeof decode>> {
  if (!Array.isArray(value)) throw new MalformedError('the index of the stacks is damaged')
  return value
}
