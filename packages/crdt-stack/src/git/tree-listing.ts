/** Reads `git ls-tree -r -z -l` as it comes: a few trees that name each other list millions of paths, and are cut off in time. */
import { ElderError, LIMITS } from '@elder-node/protocol'
import type { BlobId, TreeFile, TreeOptions } from './port.ts'

/** Names passed over for each file that is kept: a person may keep something else on the branch, too. */
const NAMES_PER_FILE = 4
/** One line: longer than any path of a file system. */
const LINE_BYTES_MAX = 16_384

export class Listing {
  readonly files: TreeFile[] = []
  readonly #url: string
  readonly #wants: (path: string) => boolean
  readonly #filesMax: number
  #rest = ''
  #names = 0

  constructor (url: string, { wants = () => true, filesMax = LIMITS.mirrorFilesMax }: Omit<TreeOptions, 'signal'>) {
    this.#url = url
    this.#wants = wants
    this.#filesMax = filesMax
  }

  /** @throws ElderError `MIRROR_TOO_LARGE` */
  read (chunk: Buffer): void {
    // latin1 keeps every byte, so that a chunk may end within a character.
    const lines = (this.#rest + chunk.toString('latin1')).split('\0')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > LINE_BYTES_MAX) throw tooLarge(this.#url, 'a path there is longer than any file system allows')
    for (const line of lines) this.#take(line)
  }

  /** Counts a name that is not read from a line. @throws ElderError `MIRROR_TOO_LARGE` */
  pass (): void {
    if (++this.#names > NAMES_PER_FILE * this.#filesMax) throw tooLarge(this.#url, `it names more than ${NAMES_PER_FILE * this.#filesMax} paths`)
  }

  /** True when a file of that path is to be listed. */
  wants (path: string): boolean { return this.#wants(path) }

  add (file: TreeFile): void {
    if (this.files.length >= this.#filesMax) throw tooLarge(this.#url, `it holds more than ${this.#filesMax} files`)
    this.files.push(file)
  }

  #take (line: string): void {
    this.pass()
    const match = /^100(?:644|755) blob ([0-9a-f]{40}) +(\d+)\t(.+)$/s.exec(line)
    if (match === null) return
    const path = Buffer.from(match[3] as string, 'latin1').toString('utf8')
    if (this.#wants(path)) this.add({ path, blob: match[1] as BlobId, bytes: Number(match[2]) })
  }
}

export function tooLarge (url: string, why: string): ElderError {
  return new ElderError('MIRROR_TOO_LARGE', `${url} is too large for a mirror: ${why}`, 'Look who can push there; a mirror has a repository or a branch of its own.')
}
