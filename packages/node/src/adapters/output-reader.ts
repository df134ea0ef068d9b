import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { ElderError, isGitsOwn, isOutputPath, LEFT_OUT, LIMITS, outputGlobs, type GlobsAt } from '@elder-node/protocol'
import type { OutputFile, OutputPart, OutputReader } from '../ports/source.ts'
import { GlobTurns } from './glob-turns.ts'
import { listInside, openInside } from './safe-file.ts'

/** Characters of a path in a sentence. */
const PATH_SHOWN = 160
const BAD_NAME = 'the file or folder'

export interface OutputReaderInit {
  /** @default LIMITS.outputFilesMax */
  filesMax?: number
  /** All files together. @default LIMITS.outputBytesMax */
  bytesMax?: number
}

/** Reads outputs out of a tree that a build has written: nothing in it is trusted. */
export class FileOutputReader implements OutputReader {
  readonly #filesMax: number
  readonly #bytesMax: number

  constructor ({ filesMax = LIMITS.outputFilesMax, bytesMax = LIMITS.outputBytesMax }: OutputReaderInit = {}) {
    this.#filesMax = filesMax
    this.#bytesMax = bytesMax
  }

  async match (tree: string, globs: string[], { signal }: { signal: AbortSignal }): Promise<{ paths: string[], unmatched: string[], leftOut: string[] }> {
    const turns = new GlobTurns(outputGlobs(globs), signal)
    const hit = new Set<number>()
    const paths: string[] = []
    const left = new LeftOut()
    for await (const { path, kind, at } of walk(await realpath(tree), '', turns.globs.start, turns)) {
      const hits = turns.globs.hits(at)
      if (hits.length === 0) continue
      if (kind !== 'file') {
        left.add(path, kind)
        continue
      }
      for (const glob of hits) hit.add(glob)
      if (paths.length >= this.#filesMax) throw new ElderError('OUTPUT_INVALID', `more than ${this.#filesMax} files match the outputs`, 'Name fewer outputs, or pack them into one file.')
      paths.push(path)
    }
    return { paths: paths.sort(), unmatched: globs.filter((_, i) => !hit.has(i)), leftOut: left.sentences() }
  }

  async * read (tree: string, paths: string[], { signal }: { signal: AbortSignal }): AsyncGenerator<OutputPart> {
    const root = await realpath(tree)
    const manifest: OutputFile[] = []
    let left = this.#bytesMax
    for (const path of paths) {
      signal.throwIfAborted()
      const file = yield * this.#file(root, path, left, signal)
      left -= file.bytes
      manifest.push(file)
    }
    yield { type: 'end', manifest }
  }

  async * #file (root: string, path: string, bytesMax: number, signal: AbortSignal): AsyncGenerator<OutputPart, OutputFile> {
    if (!isOutputPath(path)) throw new ElderError('OUTPUT_INVALID', `${JSON.stringify(path)} cannot be an output's path`, 'Rename it, or leave it out of --out.')
    const { handle, bytes, executable } = await openInside(root, path)
    try {
      if (bytes > bytesMax) throw new ElderError('OUTPUT_INVALID', `the outputs are larger than ${this.#bytesMax} bytes`, 'Name fewer outputs, or let the command make less.')
      const mode = executable ? 0o755 : 0o644
      yield { type: 'file', file: { path, mode, bytes } }
      const hash = createHash('sha256')
      for (let at = 0; at < bytes;) {
        signal.throwIfAborted()
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(LIMITS.chunkBytesMax, bytes - at)), 0, null, at)
        if (bytesRead === 0) throw new ElderError('OUTPUT_INVALID', `the output ${path} became shorter while it was read`, 'Does something of the command still run? Let it wait for all that it started.')
        const data = buffer.subarray(0, bytesRead)
        hash.update(data)
        at += bytesRead
        yield { type: 'chunk', data }
      }
      return { path, bytes, sha256: hash.digest('hex'), mode }
    } finally {
      await handle.close()
    }
  }
}

/** Names for the requester; beyond the bound only how many more there are. */
class LeftOut {
  readonly #said: string[] = []
  #more = 0

  add (path: string, kind: string): void {
    const why = kind === BAD_NAME ? 'not every system can write that name' : 'outputs are regular files'
    if (this.#said.length < LEFT_OUT.max - 1) this.#said.push(`${kind} ${shortened(path)} is left out: ${why}`)
    else this.#more++
  }

  sentences (): string[] { return this.#more === 0 ? this.#said : [...this.#said, `${this.#more} more are left out`] }
}

function shortened (path: string): string { return path.length > PATH_SHOWN ? `…${path.slice(-PATH_SHOWN)}` : path }

function kindOf (entry: Dirent): string {
  if (entry.isSymbolicLink()) return 'the symlink'
  if (entry.isFIFO()) return 'the pipe'
  return entry.isSocket() ? 'the socket' : 'the device'
}

/** What lies below the root, never through a symlink, never git's own. Of folders only those that cannot be read are told. */
async function * walk (root: string, dir: string, above: GlobsAt, turns: GlobTurns): AsyncGenerator<{ path: string, kind: string, at: GlobsAt }> {
  const entries = await listInside(root, dir)
  if (entries === undefined) return yield { path: dir, kind: 'the unreadable folder', at: above }
  for (const entry of entries) {
    const path = dir === '' ? entry.name : `${dir}/${entry.name}`
    const at = await turns.next(above, entry.name)
    if (isGitsOwn(entry.name)) continue
    // What is not UTF-8 was read with this sign in its place, and no file has that name.
    if (!isOutputPath(path) || entry.name.includes('\ufffd')) yield { path, kind: BAD_NAME, at }
    else if (!entry.isDirectory()) yield { path, kind: entry.isFile() ? 'file' : kindOf(entry), at }
    else if (at.length > 0) yield * walk(root, path, at, turns)
  }
}
