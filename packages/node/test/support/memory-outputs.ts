/** Outputs in memory: what a build left in its tree, and what its requester has written. For tests of builds, without a disk. */
import { createHash } from 'node:crypto'
import { ElderError, isOutputPath, outputGlobs, type OutputFile, type OutputPart } from '@elder-node/protocol'
import type { KeptWhy, OutputReader, OutputWriter, SentTree, WrittenFile } from '../../src/ports/source.ts'

const CHUNK_BYTES = 1_000
const invalid = (message: string): ElderError => new ElderError('OUTPUT_INVALID', message)
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
/** As git names a content. */
export function gitId (text: string): string {
  return createHash('sha1').update(`blob ${Buffer.byteLength(text)}\0${text}`).digest('hex')
}

export class MemoryReader implements OutputReader {
  readonly #filesOf: (tree: string) => ReadonlyMap<string, Uint8Array>
  readonly #symlinks: readonly string[]

  /** The regular files of a tree, by path, and the symlinks in every tree. */
  constructor (filesOf: (tree: string) => ReadonlyMap<string, Uint8Array>, symlinks: readonly string[] = []) {
    this.#filesOf = filesOf
    this.#symlinks = symlinks
  }

  async match (tree: string, globs: string[], { signal }: { signal: AbortSignal }): Promise<{ paths: string[], unmatched: string[], leftOut: string[] }> {
    signal.throwIfAborted()
    const all = [...this.#filesOf(tree).keys()].filter(isOutputPath)
    const meant = (glob: string): string[] => all.filter(path => outputGlobs([glob]).match(path))
    const left = this.#symlinks.filter(path => globs.some(glob => outputGlobs([glob]).match(path)))
    const leftOut = left.map(path => `the symlink ${path} is left out: outputs are regular files`)
    return { paths: [...new Set(globs.flatMap(meant))].sort(), unmatched: globs.filter(glob => meant(glob).length === 0), leftOut }
  }

  async * read (tree: string, paths: string[], { signal }: { signal: AbortSignal }): AsyncGenerator<OutputPart> {
    const manifest: OutputFile[] = []
    for (const path of paths) {
      signal.throwIfAborted()
      const content = this.#filesOf(tree).get(path)
      if (content === undefined || !isOutputPath(path)) throw invalid(`${path} is no output of this tree`)
      const file = { path, mode: 0o644 as const, bytes: content.length }
      yield { type: 'file', file }
      for (let at = 0; at < content.length; at += CHUNK_BYTES) yield { type: 'chunk', data: content.subarray(at, at + CHUNK_BYTES) }
      manifest.push({ ...file, sha256: sha256(content) })
    }
    yield { type: 'end', manifest }
  }
}

export class MemoryWriter implements OutputWriter {
  readonly #written: Map<string, string>
  /** What a build wrote, as it did: path to sha256. */
  readonly #ours = new Map<string, string>()

  /** Path to text; all targets are one. */
  constructor (written: Map<string, string>) { this.#written = written }

  async resolve (to: string): Promise<string> { return to }

  async present (_to: string, globs: string[]): Promise<ReadonlySet<string>> {
    const meant = outputGlobs(globs)
    const outputs = [...this.#written.keys()].filter(isOutputPath)
    return new Set(outputs.filter(path => meant.match(path)))
  }

  async write (
    _to: string, parts: AsyncIterable<OutputPart>,
    { outputs, signal, sent }: { outputs: string[], signal: AbortSignal, sent?: SentTree },
  ): Promise<WrittenFile[]> {
    const globs = outputGlobs(outputs)
    const files: Array<{ file: Omit<OutputFile, 'sha256'>, content: Buffer }> = []
    let manifest: OutputFile[] | undefined
    for await (const part of parts) {
      signal.throwIfAborted()
      if (manifest !== undefined) throw invalid('something follows the end of the outputs')
      if (part.type === 'file') {
        const { path } = part.file
        if (!isOutputPath(path) || !globs.match(path)) throw invalid(`${path} cannot be written`)
        if (files.some(({ file }) => file.path.toLowerCase() === path.toLowerCase())) throw invalid(`${path} comes twice`)
        files.push({ file: part.file, content: Buffer.alloc(0) })
      } else if (part.type === 'chunk') {
        const last = files.at(-1)
        if (last === undefined) throw invalid('bytes without a file')
        last.content = Buffer.concat([last.content, part.data])
      } else manifest = part.manifest
    }
    const came = files.map(({ file, content }): OutputFile => ({ ...file, bytes: content.length, sha256: sha256(content) }))
    const isWhole = files.every(({ file, content }) => file.bytes === content.length)
    const same = (a: OutputFile, b: OutputFile | undefined): boolean => b !== undefined && a.path === b.path && a.bytes === b.bytes && a.sha256 === b.sha256 && a.mode === b.mode
    if (!isWhole || manifest?.length !== came.length || !came.every((file, i) => same(file, manifest[i]))) throw invalid('the outputs are incomplete')
    const [ids, present] = await Promise.all([sent?.ids(came.map(({ path }) => path)), sent?.present])
    return came.map((file, i) => {
      const id = ids?.get(file.path)
      const kept = sent === undefined ? undefined : this.#keptWhy(file, id, sent.globsBy, present)
      const name = kept === undefined ? file.path : this.#beside(`${file.path}.from-${sent?.builder ?? ''}`)
      if (kept === undefined && this.#sha256Of(name) !== file.sha256) this.#ours.set(name, file.sha256)
      this.#written.set(name, (files[i] as { content: Buffer }).content.toString())
      return kept === undefined ? file : { ...file, beside: name, kept }
    })
  }

  #keptWhy (file: OutputFile, id: string | undefined, globsBy: SentTree['globsBy'], present: ReadonlySet<string> | undefined): KeptWhy | undefined {
    if (globsBy === 'person' || id !== undefined) return this.#isReplaced(file, id, present) ? undefined : 'changed'
    const now = this.#sha256Of(file.path)
    return now === undefined || now === file.sha256 || now === this.#ours.get(file.path) ? undefined : 'not-ours'
  }

  #sha256Of (path: string): string | undefined {
    const now = this.#written.get(path)
    return now === undefined ? undefined : sha256(Buffer.from(now))
  }

  /** Nothing is there, or what was sent, what an earlier build made, or the same. */
  #isReplaced (file: OutputFile, id: string | undefined, present: ReadonlySet<string> | undefined): boolean {
    const now = this.#written.get(file.path)
    if (now === undefined || (id === undefined && (present === undefined || present.has(file.path)))) return true
    return id === gitId(now) || file.sha256 === sha256(Buffer.from(now))
  }

  #beside (name: string): string {
    for (let i = 1; ; i++) {
      const beside = i === 1 ? name : `${name}.${i}`
      if (!this.#written.has(beside)) return beside
    }
  }
}
