/** Private files in memory, with the bytes that they have on disk. */
import { crc32 } from 'node:zlib'
import { damaged, otherFormat } from '../../src/adapters/private-files.ts'
import { frame, seal, STORE_FORMAT, unframe, unseal } from '../../src/adapters/sealed.ts'
import type { PrivateFiles, StoredLog } from '../../src/ports/files.ts'

export class MemoryFiles implements PrivateFiles {
  readonly contents = new Map<string, Uint8Array>()
  /** Set to make the next writes fail. */
  failure: Error | undefined

  path (name: string): string { return `/memory/${name}` }

  list (folder = ''): string[] {
    const prefix = folder === '' ? '' : `${folder}/`
    const inside = [...this.contents.keys()].filter(name => name.startsWith(prefix)).map(name => name.slice(prefix.length).split('/')[0] as string)
    return [...new Set(inside)].sort()
  }

  read (name: string): Uint8Array | undefined {
    const bytes = this.contents.get(name)
    const found = bytes === undefined ? undefined : unseal(bytes)
    if (found !== undefined && 'damaged' in found) throw damaged(this.path(name), found.damaged)
    if (found !== undefined && found.format !== STORE_FORMAT) throw otherFormat(this.path(name), found.format)
    return found?.content
  }

  readCache (name: string): Uint8Array | undefined {
    try {
      return this.read(name)
    } catch {
      return undefined
    }
  }

  replace (name: string, bytes: Uint8Array): void { this.#write(name, seal(bytes)) }

  remove (name: string): void {
    if (this.failure !== undefined) throw this.failure
    this.contents.delete(name)
  }

  readLog (name: string): StoredLog | undefined {
    const bytes = this.contents.get(name)
    return bytes === undefined ? undefined : unframe(bytes)
  }

  append (name: string, entries: readonly Uint8Array[]): void {
    this.#write(name, new Uint8Array(Buffer.concat([this.contents.get(name) ?? new Uint8Array(), frame(entries)])))
  }

  replaceLog (name: string, entries: readonly Uint8Array[]): void { this.#write(name, frame(entries)) }

  keepAside (name: string): string {
    const bytes = this.contents.get(name) ?? new Uint8Array()
    const aside = `${name}.damaged-${crc32(bytes).toString(16).padStart(8, '0')}`
    if (!this.contents.has(aside)) this.#write(aside, bytes)
    return this.path(aside)
  }

  #write (name: string, bytes: Uint8Array): void {
    if (this.failure !== undefined) throw this.failure
    this.contents.set(name, bytes.slice())
  }
}
