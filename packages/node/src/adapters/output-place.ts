/** Where one output goes: in its place, or beside a file that is no longer what was sent. */
import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { chmod, copyFile, lstat, mkdir, readlink, realpath, rename } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import type { OutputFile, SentTree } from '../ports/source.ts'

/** Names tried for a file beside: nobody keeps more of one. */
const BESIDE_MAX = 10_000
/** Of a file's name, on every file system that is in use. */
const NAME_BYTES_MAX = 255
/** Not a link: some file systems have none. */
const ANEW = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE

export interface Placing {
  /** Absolute folder below which the outputs go. */
  target: string
  /** Undefined: whatever is in the way is replaced. */
  sent: SentTree | undefined
}

/** What is known of the places before the first file appears. */
export class Places {
  readonly #target: string
  readonly #sent: SentTree | undefined
  /** The target relative to the tree that was sent; undefined outside of it. */
  readonly #below: string | undefined
  readonly #ids: Map<string, string>
  readonly #present: ReadonlySet<string> | undefined

  private constructor (
    { target, sent }: Placing, below: string | undefined, ids: Map<string, string>, present: ReadonlySet<string> | undefined,
  ) {
    this.#target = target
    this.#sent = sent
    this.#below = below
    this.#ids = ids
    this.#present = present
  }

  /** `files`: what is to be placed. */
  static async open (placing: Placing, files: OutputFile[]): Promise<Places> {
    const { target, sent } = placing
    const below = sent === undefined ? undefined : await within(sent.root, target)
    if (sent === undefined || below === undefined) return new Places(placing, undefined, new Map(), undefined)
    const [ids, present] = await Promise.all([sent.ids(files.map(({ path }) => join(below, path))), sent.present])
    return new Places(placing, below, ids, present)
  }

  /** Moves a staged file to its place. Answers the name beside it, when it went there. */
  async put (staged: string, { path, mode, sha256 }: OutputFile): Promise<string | undefined> {
    const full = join(this.#target, path)
    await chmod(staged, mode)
    await mkdir(dirname(full), { recursive: true })
    if (await this.#isReplaced(full, path, sha256)) return void await rename(staged, full)
    return await this.#beside(staged, path)
  }

  async #isReplaced (full: string, path: string, sha256: string): Promise<boolean> {
    if (this.#sent === undefined || this.#below === undefined) return true
    const now = await lstat(full).catch(() => undefined)
    if (now === undefined) return true
    const id = this.#ids.get(join(this.#below, path))
    // What was not sent and was there is a product of an earlier build, as a rule; what came since is somebody's.
    if (id === undefined && (this.#present === undefined || this.#present.has(path))) return true
    const content = now.isSymbolicLink() ? [Buffer.from(await readlink(full))] : createReadStream(full)
    const found = await hashes(content, now.size)
    return found.id === id || (!now.isSymbolicLink() && found.sha256 === sha256)
  }

  /** Never over a file that is there: a second one gets a number. */
  async #beside (staged: string, path: string): Promise<string> {
    const name = besideOf(path, `.from-${this.#sent?.builder ?? ''}`)
    for (let i = 1; i < BESIDE_MAX; i++) {
      const beside = i === 1 ? name : `${name}.${i}`
      if (await copyFile(staged, join(this.#target, beside), ANEW).then(() => true, (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false
        throw error
      })) return beside
    }
    throw new Error(`there are ${BESIDE_MAX} files beside ${path}`)
  }
}

/** With room for a number behind it; a name that is too long for both is cut. */
function besideOf (path: string, suffix: string): string {
  let name = basename(path)
  const bytesMax = NAME_BYTES_MAX - suffix.length - `.${BESIDE_MAX}`.length
  while (Buffer.byteLength(name) > bytesMax) name = name.slice(0, -1)
  return `${path.slice(0, path.length - basename(path).length)}${name}${suffix}`
}

async function within (root: string, target: string): Promise<string | undefined> {
  const [from, to] = await Promise.all([realpath(root).catch(() => root), realpath(target).catch(() => target)])
  const below = relative(from, to)
  return below === '..' || below.startsWith(`..${sep}`) || below.startsWith('/') ? undefined : below
}

type Content = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** As git names content, and as the manifest does. */
async function hashes (content: Content, bytes: number): Promise<{ id: string, sha256: string }> {
  const [id, sha256] = [createHash('sha1').update(`blob ${bytes}\0`), createHash('sha256')]
  for await (const chunk of content) {
    id.update(chunk)
    sha256.update(chunk)
  }
  return { id: id.digest('hex'), sha256: sha256.digest('hex') }
}
