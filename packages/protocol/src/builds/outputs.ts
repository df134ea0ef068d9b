/**
 * Outputs of a build on the wire: each frame is canonical CBOR, at most LIMITS.frameBytesMax.
 *
 * stream := (file chunk*)* more* end
 * file   := ["file", path, executable, bytes]
 * chunk  := ["chunk", data]                        1 to LIMITS.chunkBytesMax bytes; a file's chunks add up to its bytes
 * more   := ["more", [row, ...]]                   a manifest that needs more than one frame
 * end    := ["end", [row, ...]]                    row := [path, executable, bytes, sha256]
 */
import { decode, encode, type Value } from '../codec/cbor.ts'
import { fromHex, toHex } from '../codec/text.ts'
import { MalformedError } from '../errors.ts'
import { isCount, isHash } from '../feed/record.ts'
import { LIMITS } from '../limits.ts'
import { isPlainName } from './names.ts'

export type OutputMode = 0o644 | 0o755
/** One returned file; `sha256` is 64 hex digits. */
export interface OutputFile { path: string, bytes: number, sha256: string, mode: OutputMode }

/** Tagged pieces of an output stream, in order: file, its chunks, file, ... */
export type OutputPart =
  | { type: 'file', file: { path: string, mode: OutputMode, bytes: number } }
  | { type: 'chunk', data: Uint8Array }
  | { type: 'end', manifest: OutputFile[] }

/** Rows of the manifest in one frame: with the longest path of four-byte characters a frame still holds. */
const ROW_BYTES = 64
const MANIFEST_BYTES = LIMITS.frameBytesMax - 65_536

/** A path that may be written below a folder on any system: relative, plain components, nothing of git's own. */
export function isOutputPath (path: string): boolean {
  return path.length <= LIMITS.pathCharsMax && path.split('/').every(isPlainName)
}

/** The frames of one part: one, except for a long manifest. @throws MalformedError when the part itself breaks a bound. */
export function encodeOutputPart (part: OutputPart): Uint8Array[] {
  if (part.type === 'file') {
    const { path, mode, bytes } = part.file
    return [encode(['file', checkPath(path), mode === 0o755, bytes])]
  }
  if (part.type === 'end') return encodeManifest(part.manifest)
  if (part.data.length === 0 || part.data.length > LIMITS.chunkBytesMax) throw new MalformedError('a chunk has 1 to chunkBytesMax bytes')
  return [encode(['chunk', part.data])]
}

function encodeManifest (manifest: OutputFile[]): Uint8Array[] {
  const pages: Value[][] = [[]]
  let bytes = 0
  for (const file of manifest) {
    const hash = fromHex(file.sha256)
    if (!isHash(hash)) throw new MalformedError('a sha256 has 64 hex digits')
    const size = ROW_BYTES + 3 * checkPath(file.path).length
    if (bytes + size > MANIFEST_BYTES) {
      pages.push([])
      bytes = 0
    }
    bytes += size
    pages.at(-1)?.push([file.path, file.mode === 0o755, file.bytes, hash])
  }
  return pages.map((rows, i) => encode([i === pages.length - 1 ? 'end' : 'more', rows]))
}

function checkPath (path: string): string {
  if (!isOutputPath(path)) throw new MalformedError(`${JSON.stringify(path.slice(0, 200))} cannot be an output's path`)
  return path
}

/** Reads the frames of one stream, in order. Bounds files, bytes and manifest; the order of parts is the writer's to judge. */
export class OutputDecoder {
  #files = 0
  #bytes = 0
  #ended = false
  #manifest: OutputFile[] = []

  /** The part a frame completes; undefined for a page of a manifest that goes on. @throws MalformedError */
  push (frame: Uint8Array): OutputPart | undefined {
    const value = decode(frame, LIMITS.frameBytesMax)
    if (!Array.isArray(value) || this.#ended) throw new MalformedError('not a frame of an output stream')
    if (value[0] === 'file' && value.length === 4) return this.#file(value)
    if (value[0] === 'chunk' && value.length === 2) return this.#chunk(value[1])
    if ((value[0] === 'more' || value[0] === 'end') && value.length === 2) return this.#page(value[1], value[0] === 'end')
    throw new MalformedError('an unknown frame of an output stream')
  }

  #file ([, path, executable, bytes]: Value[]): OutputPart {
    if (++this.#files > LIMITS.outputFilesMax) throw new MalformedError('too many output files')
    return { type: 'file', file: fileOf(path, executable, bytes) }
  }

  #chunk (data: Value | undefined): OutputPart {
    if (!(data instanceof Uint8Array) || data.length === 0 || data.length > LIMITS.chunkBytesMax) throw new MalformedError('a chunk has 1 to chunkBytesMax bytes')
    this.#bytes += data.length
    if (this.#bytes > LIMITS.outputBytesMax) throw new MalformedError('too many output bytes')
    return { type: 'chunk', data }
  }

  #page (rows: Value | undefined, last: boolean): OutputPart | undefined {
    if (!Array.isArray(rows) || this.#manifest.length + rows.length > this.#files || (!last && rows.length === 0)) throw new MalformedError('a manifest lists the files that were sent')
    for (const row of rows) {
      const [path, executable, bytes, hash] = Array.isArray(row) && row.length === 4 ? row : []
      if (!isHash(hash)) throw new MalformedError('a row is [path, executable, bytes, sha256]')
      this.#manifest.push({ ...fileOf(path, executable, bytes), sha256: toHex(hash) })
    }
    if (!last) return undefined
    this.#ended = true
    return { type: 'end', manifest: this.#manifest }
  }
}

function fileOf (path: Value | undefined, executable: Value | undefined, bytes: Value | undefined): { path: string, mode: OutputMode, bytes: number } {
  if (typeof path !== 'string' || typeof executable !== 'boolean' || !isCount(bytes) || bytes > LIMITS.outputBytesMax) throw new MalformedError('a file is [path, executable, bytes]')
  return { path: checkPath(path), mode: executable ? 0o755 : 0o644, bytes }
}
