import { createHash, type Hash } from 'node:crypto'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ElderError, isOutputPath, LIMITS, outputGlobs } from '@elder-node/protocol'
import type { OutputFile, OutputPart, OutputWriter, SentTree, WrittenFile } from '../ports/source.ts'
import { repositoryIn } from './bare-repository.ts'
import type { Folder } from './folder.ts'
import { GlobTurns } from './glob-turns.ts'
import { Places } from './output-place.ts'
import { FileOutputReader } from './output-reader.ts'
import { OutputRecord } from './output-record.ts'
import { StagingFolder, StagingNotes } from './output-staging.ts'
import { makeTarget, resolveTarget } from './output-target.ts'

/** By default the builder's fault: nothing was written here. */
const invalid = (message: string, fix = 'Build it on another device with --on, and update that builder.'): ElderError => new ElderError('OUTPUT_INVALID', message, fix)

export interface OutputWriterInit {
  /** In the data directory: what earlier builds wrote, staging folders to delete after a crash. @default no memory */
  dir?: string
  /** @default LIMITS.outputFilesMax */
  filesMax?: number
  /** All files together. @default LIMITS.outputBytesMax */
  bytesMax?: number
}

/** Takes outputs from a builder that is not trusted with this disk: everything is staged and verified before anything appears. */
export class FileOutputWriter implements OutputWriter {
  readonly #bounds: Bounds
  readonly #record: OutputRecord | undefined
  readonly #notes: StagingNotes | undefined

  constructor ({ dir, filesMax = LIMITS.outputFilesMax, bytesMax = LIMITS.outputBytesMax }: OutputWriterInit = {}) {
    this.#bounds = { filesMax, bytesMax }
    this.#record = dir === undefined ? undefined : new OutputRecord(join(dir, 'written'))
    this.#notes = dir === undefined ? undefined : new StagingNotes(join(dir, 'staging'))
  }

  /** Deletes the staging folders of an earlier life of this node. Never rejects. */
  async sweep (): Promise<void> { await this.#notes?.sweep() }

  async resolve (to: string): Promise<string> { return await resolveTarget(to) }

  async present (to: string, globs: string[], { signal }: { signal: AbortSignal }): Promise<ReadonlySet<string> | undefined> {
    const target = resolve(to)
    if (!await stat(target).then(found => found.isDirectory(), () => false)) return new Set()
    return await new FileOutputReader().match(target, globs, { signal }).then(({ paths }) => new Set(paths), () => undefined)
  }

  async write (
    to: string, parts: AsyncIterable<OutputPart>,
    { outputs, signal, sent }: { outputs: string[], signal: AbortSignal, sent?: SentTree },
  ): Promise<WrittenFile[]> {
    const target = resolve(to)
    const asked = new GlobTurns(outputGlobs(outputs), signal)
    const folder = await StagingFolder.make(target, this.#notes)
    const staging = new Staging(folder.folder, asked, this.#bounds)
    try {
      for await (const part of parts) {
        signal.throwIfAborted()
        await staging.take(part)
      }
      return await this.#publish({ staged: folder.folder, files: staging.finish(), sent }, target)
    } finally {
      await staging.close()
      await folder.remove()
    }
  }

  /** Every way is checked before the first file appears. */
  async #publish (outputs: Arrived, target: string): Promise<WrittenFile[]> {
    const repository = await repositoryIn(target, outputs.files.map(({ path }) => path))
    if (repository !== undefined) {
      const message = `the outputs make up a git repository in ${repository === '' ? target : repository}: git would run its hooks`
      throw invalid(message, 'Have the build pack it into one file, as in: tar -cf repository.tar repository')
    }
    const root = await makeTarget(target)
    try {
      return await this.#place(outputs, root)
    } finally {
      await root.close()
    }
  }

  async #place ({ staged, files, sent }: Arrived, root: Folder): Promise<WrittenFile[]> {
    const recorded = this.#record?.of(root.path) ?? new Map<string, string>()
    const places = await Places.open(root, { sent, recorded }, files)
    const ours = new Map<string, string>()
    const written: WrittenFile[] = []
    try {
      for (const [i, file] of files.entries()) {
        const { beside, kept, isEqual = false } = await places.put(staged.at(String(i)), file)
        // A file that had these bytes before may be somebody's: counted as ours, the next build could replace it.
        if (beside === undefined && !isEqual) ours.set(file.path, file.sha256)
        written.push({ ...file, ...(beside === undefined ? {} : { beside }), ...(kept === undefined ? {} : { kept }) })
      }
      return written
    } finally {
      await places.close()
      this.#record?.add(root.path, ours)
    }
  }
}

/** All of it is here, and none of it is in its place. */
interface Arrived { staged: Folder, files: OutputFile[], sent: SentTree | undefined }

type Bounds = Required<Pick<OutputWriterInit, 'filesMax' | 'bytesMax'>>

interface Current { file: { path: string, mode: 0o644 | 0o755, bytes: number }, handle: FileHandle, hash: Hash, got: number }

/** The files of one stream in a folder of their own, named by number. */
class Staging {
  readonly #folder: Folder
  readonly #asked: GlobTurns
  readonly #init: Bounds
  readonly #files: OutputFile[] = []
  readonly #names = new Set<string>()
  readonly #folders = new Set<string>()
  #current: Current | undefined
  #bytes = 0
  #ended = false

  constructor (folder: Folder, asked: GlobTurns, init: Bounds) {
    this.#folder = folder
    this.#asked = asked
    this.#init = init
  }

  async take (part: OutputPart): Promise<void> {
    if (this.#ended) throw invalid('something follows the end of the outputs')
    if (part.type === 'chunk') return this.#chunk(part.data)
    await this.#seal()
    if (part.type === 'file') return this.#begin(part.file)
    this.#compare(part.manifest)
    this.#ended = true
  }

  /** @throws ElderError `OUTPUT_INVALID` unless the stream came to its end. */
  finish (): OutputFile[] {
    if (!this.#ended) throw invalid('the outputs are incomplete')
    return this.#files
  }

  async close (): Promise<void> { await this.#current?.handle.close() }

  async #begin (file: Current['file']): Promise<void> {
    const name = file.path.normalize('NFC').toLowerCase()
    if (!isOutputPath(file.path) || (file.mode !== 0o644 && file.mode !== 0o755)) throw invalid(`${JSON.stringify(file.path.slice(0, 200))} cannot be written`)
    // A builder chooses what is in a file, never which file: a hook or a script beside the outputs would run here.
    if (!await this.#asked.match(file.path)) throw invalid(`${JSON.stringify(file.path.slice(0, 200))} was not asked for`)
    if (this.#names.has(name)) throw invalid(`${file.path} comes twice, or in two spellings`)
    if (this.#folders.has(name) || foldersOf(name).some(folder => this.#names.has(folder))) throw invalid(`${file.path} is a file and a folder`)
    for (const folder of foldersOf(name)) this.#folders.add(folder)
    if (this.#names.size >= this.#init.filesMax) throw invalid(`more than ${this.#init.filesMax} files`)
    this.#names.add(name)
    const handle = await open(this.#folder.at(String(this.#files.length)), 'wx', file.mode)
    this.#current = { file, handle, hash: createHash('sha256'), got: 0 }
  }

  async #chunk (data: Uint8Array): Promise<void> {
    const current = this.#current
    if (current === undefined) throw invalid('bytes without a file')
    current.got += data.length
    this.#bytes += data.length
    if (current.got > current.file.bytes || this.#bytes > this.#init.bytesMax) throw invalid(`${current.file.path} is longer than it said, or than is allowed`)
    current.hash.update(data)
    // A full disk may take a part of a write without an error.
    for (let at = 0; at < data.length;) at += (await current.handle.write(data, at)).bytesWritten
  }

  async #seal (): Promise<void> {
    const current = this.#current
    if (current === undefined) return
    this.#current = undefined
    const { file, handle, hash, got } = current
    if (got !== file.bytes) {
      await handle.close()
      throw invalid(`${file.path} has ${got} of its ${file.bytes} bytes`)
    }
    await handle.close()
    this.#files.push({ ...file, sha256: hash.digest('hex') })
  }

  #compare (manifest: OutputFile[]): void {
    const same = manifest.length === this.#files.length && this.#files.every((file, i) => {
      const said = manifest[i] as OutputFile
      return said.path === file.path && said.bytes === file.bytes && said.sha256 === file.sha256 && said.mode === file.mode
    })
    if (!same) throw invalid('the manifest does not match the files that came')
  }
}

function foldersOf (path: string): string[] {
  const names = path.split('/')
  return names.slice(1).map((_, i) => names.slice(0, i + 1).join('/'))
}
