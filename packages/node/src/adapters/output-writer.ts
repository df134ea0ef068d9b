import { createHash, randomBytes, type Hash } from 'node:crypto'
import { lstat, mkdir, open, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ElderError, isOutputPath, LIMITS } from '@elder-node/protocol'
import type { OutputFile, OutputPart, OutputWriter, SentTree, WrittenFile } from '../ports/source.ts'
import { repositoryIn } from './bare-repository.ts'
import { makeFolders } from './files.ts'
import { outputGlob, type OutputGlob } from './output-glob.ts'
import { Places } from './output-place.ts'
import { FileOutputReader } from './output-reader.ts'

/** By default the builder's fault: nothing was written here. */
const invalid = (message: string, fix = 'Build it on another device with --on, and update that builder.'): ElderError => new ElderError('OUTPUT_INVALID', message, fix)
const ELSEWHERE = 'Move it out of the way, or have the outputs written to another folder with --to.'

export interface OutputWriterInit {
  /** @default LIMITS.outputFilesMax */
  filesMax?: number
  /** All files together. @default LIMITS.outputBytesMax */
  bytesMax?: number
}

/** Takes outputs from a builder that is not trusted with this disk: everything is staged and verified before anything appears. */
export class FileOutputWriter implements OutputWriter {
  readonly #init: Required<OutputWriterInit>

  constructor (init: OutputWriterInit = {}) { this.#init = { filesMax: LIMITS.outputFilesMax, bytesMax: LIMITS.outputBytesMax, ...init } }

  async present (to: string, globs: string[], { signal }: { signal: AbortSignal }): Promise<ReadonlySet<string> | undefined> {
    const target = resolve(to)
    if (!await stat(target).then(found => found.isDirectory(), () => false)) return new Set()
    return await new FileOutputReader().match(target, globs, { signal }).then(({ paths }) => new Set(paths), () => undefined)
  }

  async write (to: string, parts: AsyncIterable<OutputPart>, { outputs, signal, sent }: { outputs: string[], signal: AbortSignal, sent?: SentTree }): Promise<WrittenFile[]> {
    const target = resolve(to)
    const asked = outputs.map(outputGlob)
    const folder = await makeStaging(target)
    const staging = new Staging(folder, asked, this.#init)
    try {
      for await (const part of parts) {
        signal.throwIfAborted()
        await staging.take(part)
      }
      const files = staging.finish()
      return await publish(folder, target, files, sent)
    } finally {
      await staging.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

interface Current { file: { path: string, mode: 0o644 | 0o755, bytes: number }, handle: FileHandle, hash: Hash, got: number }

/** The files of one stream in a folder of their own, named by number. */
class Staging {
  readonly #folder: string
  readonly #asked: OutputGlob[]
  readonly #init: Required<OutputWriterInit>
  readonly #files: OutputFile[] = []
  readonly #names = new Set<string>()
  readonly #folders = new Set<string>()
  #current: Current | undefined
  #bytes = 0
  #ended = false

  constructor (folder: string, asked: OutputGlob[], init: Required<OutputWriterInit>) {
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
    if (!this.#asked.some(({ matches }) => matches(file.path))) throw invalid(`${JSON.stringify(file.path.slice(0, 200))} was not asked for`)
    if (this.#names.has(name)) throw invalid(`${file.path} comes twice, or in two spellings`)
    if (this.#folders.has(name) || foldersOf(name).some(folder => this.#names.has(folder))) throw invalid(`${file.path} is a file and a folder`)
    for (const folder of foldersOf(name)) this.#folders.add(folder)
    if (this.#names.size >= this.#init.filesMax) throw invalid(`more than ${this.#init.filesMax} files`)
    this.#names.add(name)
    this.#current = { file, handle: await open(join(this.#folder, String(this.#files.length)), 'wx', 0o600), hash: createHash('sha256'), got: 0 }
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

/** Begins the name of the folder where outputs wait until all are there. It may lie in a work tree, and is no source. */
export const STAGING_PREFIX = '.elder-outputs-'

/** Beside the target when that is the same disk and writable, so that nobody who watches the target sees half a result; else inside. */
async function makeStaging (target: string): Promise<string> {
  const name = `${STAGING_PREFIX}${randomBytes(8).toString('hex')}`
  const existing = await stat(target).catch(() => undefined)
  if (existing !== undefined && !existing.isDirectory()) throw invalid(`${target} is not a folder`, ELSEWHERE)
  let parent = dirname(target)
  while (await stat(parent).then(() => false, () => true)) parent = dirname(parent)
  const besides = existing === undefined || (await stat(parent)).dev === existing.dev
  const folder = join(parent, name)
  if (besides && await mkdir(folder, { mode: 0o700 }).then(() => true, () => false)) return folder
  makeTarget(target)
  await mkdir(join(target, name), { mode: 0o700 })
  return join(target, name)
}

function makeTarget (target: string): void {
  try {
    makeFolders(target)
  } catch (error) {
    throw invalid(`${target} cannot be made: ${(error as Error).message}`, ELSEWHERE)
  }
}

/** Every way is checked before the first file appears. */
async function publish (folder: string, target: string, files: OutputFile[], sent: SentTree | undefined): Promise<WrittenFile[]> {
  const checked = new Map<string, boolean>()
  const repository = await repositoryIn(target, files.map(({ path }) => path))
  if (repository !== undefined) throw invalid(`the outputs make up a git repository in ${repository === '' ? target : repository}: git would run its hooks`, 'Have the build pack it into one file, as in: tar -cf repository.tar repository')
  for (const { path } of files) {
    await checkWay(target, dirname(path), checked)
    const there = await lstat(join(target, path)).catch(() => undefined)
    if (there?.isDirectory() === true) throw invalid(`${join(target, path)} is a folder`, ELSEWHERE)
  }
  makeTarget(target)
  const places = await Places.open({ target, sent }, files)
  const written: WrittenFile[] = []
  for (const [i, file] of files.entries()) {
    const beside = await places.put(join(folder, String(i)), file)
    written.push(beside === undefined ? file : { ...file, beside })
  }
  return written
}

async function checkWay (target: string, dir: string, checked: Map<string, boolean>): Promise<void> {
  if (dir === '.' || checked.has(dir)) return
  await checkWay(target, dirname(dir), checked)
  const there = await lstat(join(target, dir)).catch(() => undefined)
  if (there !== undefined && !there.isDirectory()) throw invalid(`${join(target, dir)} is ${there.isSymbolicLink() ? 'a symlink' : 'no folder'}`, ELSEWHERE)
  checked.set(dir, true)
}
