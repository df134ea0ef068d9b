/** {@link GitMirror} by the git that is installed on this device: the owner's credential helpers, proxies and ssh keys apply. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { codeOf, ElderError } from '@elder-node/protocol'
import { closeCache, openCache, recreateCache, removeStale, usable } from './cache.ts'
import { fastImport } from './fast-import.ts'
import { watchFetch } from './fetch-watch.ts'
import { gitFailure, lastLine, RACES, redact, rejection } from './failure.ts'
import { MIRROR_BRANCH, type BlobId, type Commit, type GitMirror, type GitOptions, type NewCommit, type TreeFile, type TreeOptions } from './port.ts'
import { isPathRemote, servingOptions } from './profiles.ts'
import { LIST_MEMORY_BYTES_MAX, runGit, startGit, type GitCall, type GitOutput } from './run.ts'
import { Listing, tooLarge } from './tree-listing.ts'

export interface NativeGitInit {
  /** Folder of the bare cache: this object's alone, made when missing. */
  dir: string
  url: string
  /** Milliseconds a fetch or push may take. @default 120_000 */
  networkMs?: number
  /** Milliseconds any other command may take. @default 60_000 */
  localMs?: number
  /** Commits of history to fetch; undefined for all. A restore needs one. */
  depth?: number
  /** Bytes that the cache and what is being fetched may take together. @default LIMITS.mirrorBytesMax */
  bytesMax?: number
}

type Call = Omit<GitCall, 'gitDir' | 'profile'> & { profile?: GitCall['profile'] }

const TIP_REF = 'refs/elder/tip'
const COMMIT = /^[0-9a-f]{40}$/
/** Blobs are read in groups of about this many bytes. */
const GROUP_BYTES = 16_777_216
const OUT_OF_MEMORY = /^(?:fatal|error): out of memory/im
/** Fetches that moved the tip between two collections of loose objects. */
const FETCHES_PER_GC = 200

/** @throws ElderError `GIT_MISSING` without git, `GIT_URL` for a URL git would not take as a remote. */
export async function openNativeGit (init: NativeGitInit, options: GitOptions): Promise<GitMirror> {
  if (init.url.startsWith('-') || /[\0-\x20]/.test(init.url) || /^[a-z0-9+.-]+::/i.test(init.url)) {
    throw new ElderError('GIT_URL', `"${redact(init.url)}" is not a git remote`, 'Use https://, ssh://, git@host:path, file:// or an absolute path.')
  }
  const dir = resolve(init.dir)
  await openCache(dir, options.signal)
  return new NativeGit({ ...init, dir })
}

class NativeGit implements GitMirror {
  readonly url: string
  readonly #init: NativeGitInit
  /** The cache misbehaved: look deeper before it is used again. */
  #suspect = false
  #fetches = 0

  constructor (init: NativeGitInit) {
    this.#init = init
    this.url = redact(init.url)
  }

  async fetchTip ({ signal }: GitOptions): Promise<Commit | undefined> {
    await this.#mend(signal)
    const { url } = this.#init
    const args = ['ls-remote', '--refs', ...servingOptions(url, 'upload-pack'), '--', url, MIRROR_BRANCH]
    const bounds = { outputBytesMax: 65_536, memoryBytesMax: LIST_MEMORY_BYTES_MAX }
    const listed = await this.#network('read', { args, signal, ...bounds })
    const tip = listed.stdout.toString('utf8', 0, 40) as Commit
    if (!COMMIT.test(tip)) return undefined
    if (await this.#resolve(TIP_REF, signal) !== tip) await this.#fetch(signal)
    return await this.#resolve(TIP_REF, signal)
  }

  async isAncestor (ancestor: Commit, commit: Commit, { signal }: GitOptions): Promise<boolean> {
    if (!COMMIT.test(ancestor)) return false
    const { code } = await this.#run({ args: ['merge-base', '--is-ancestor', ancestor, commit], signal })
    return code === 0
  }

  async readTree (commit: Commit, options: TreeOptions): Promise<TreeFile[]> {
    const listing = new Listing(this.url, options)
    const git = startGit({ ...this.#own(), args: ['ls-tree', '-r', '-z', '-l', '--full-tree', commit], signal: options.signal })
    git.stdin.end()
    try {
      for await (const chunk of git.stdout as AsyncIterable<Buffer>) listing.read(chunk)
      const { code, stderr } = await git.end
      if (code !== 0) throw this.#damaged('read the tree', lastLine(stderr))
    } finally {
      git.kill()
    }
    return listing.files
  }

  async * readBlobs (files: TreeFile[], { signal }: GitOptions): AsyncGenerator<{ file: TreeFile, content: Uint8Array }> {
    for (const group of grouped(files)) {
      const input = Buffer.from(group.map(file => `${file.blob}\n`).join(''))
      const { stdout } = await this.#local('read files', { args: ['cat-file', '--batch'], input, signal, outputBytesMax: bytesOf(group) })
      const read = contents(stdout, group)
      // A damaged object is "missing" to cat-file, which then succeeds.
      if (read === undefined) throw this.#damaged('read files', 'an object is damaged or missing')
      yield * read
    }
  }

  blobId (content: Uint8Array): BlobId {
    return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex') as BlobId
  }

  async commitTree (commit: NewCommit, { signal }: GitOptions): Promise<Commit> {
    const { stdout } = await this.#local('write a commit', { args: ['fast-import', '--quiet', '--force', '--done'], input: fastImport(commit), signal })
    const id = stdout.toString().trim()
    if (!COMMIT.test(id)) throw new ElderError('GIT_FAILED', 'git fast-import did not name its commit')
    return id as Commit
  }

  async push (commit: Commit, { signal }: GitOptions): Promise<'ok' | 'rejected'> {
    const { url } = this.#init
    const args = ['push', '--porcelain', '--no-verify', '--no-follow-tags', '--recurse-submodules=no', ...servingOptions(url, 'receive-pack'), '--', url, `${commit}:${MIRROR_BRANCH}`]
    const result = await this.#run({ ...this.#remote(), args, signal, outputBytesMax: 1_048_576 })
    const [flag, , summary = ''] = (result.stdout.toString().split('\n').find(line => line.includes(`:${MIRROR_BRANCH}\t`)) ?? '').split('\t')
    if (result.code === 0 && flag !== '!') {
      await this.#local('note the tip', { args: ['update-ref', TIP_REF, commit], signal })
      return 'ok'
    }
    if (flag !== '!') throw this.#failure('push', result)
    if (RACES.test(summary)) return 'rejected'
    throw rejection(this.#init.url, result.stderr, summary)
  }

  async close (): Promise<void> { if (!this.#suspect) await closeCache(this.#init.dir) }

  /** Measured while it runs: a host may send for ever. What a failed fetch left is removed at once, since it is tried again. */
  async #fetch (signal: AbortSignal): Promise<void> {
    const { url, dir, depth, bytesMax } = this.#init
    const args = [
      'fetch', '--quiet', '--force', '--no-tags', '--no-write-fetch-head', '--no-auto-maintenance', ...depth === undefined ? [] : ['--depth', String(depth)],
      ...servingOptions(url, 'upload-pack'), '--', url, `+${MIRROR_BRANCH}:${TIP_REF}`,
    ]
    const watch = await watchFetch({ dir, url: this.url, signal, ...bytesMax === undefined ? {} : { bytesMax } })
    try {
      await this.#network('fetch', { args, signal: watch.signal })
      await watch.settle()
    } catch (error) {
      await removeStale(dir, Infinity)
      // Nobody knows what of it is garbage that a new beginning would not bring back.
      if (codeOf(error) === 'MIRROR_TOO_LARGE') await recreateCache(dir, signal)
      throw error
    } finally {
      watch.stop()
    }
    if (++this.#fetches % FETCHES_PER_GC === 0) await this.#run({ args: ['-c', 'gc.auto=1000', 'gc', '--auto', '--quiet'], signal })
  }

  async #resolve (ref: string, signal: AbortSignal): Promise<Commit | undefined> {
    const { code, stdout } = await this.#run({ args: ['rev-parse', '--quiet', '--verify', `${ref}^{commit}`], signal })
    return code === 0 ? stdout.toString().trim() as Commit : undefined
  }

  async #mend (signal: AbortSignal): Promise<void> {
    if (!this.#suspect) return
    if (!await usable(this.#init.dir, true, signal)) await recreateCache(this.#init.dir, signal)
    this.#suspect = false
  }

  async #network (action: string, call: Call): Promise<GitOutput> {
    const result = await this.#run({ ...this.#remote(), ...call })
    if (result.code !== 0) throw this.#failure(action, result)
    return result
  }

  async #local (action: string, command: Call): Promise<GitOutput> {
    const result = await this.#run(command)
    if (result.code === 0) return result
    throw this.#damaged(action, lastLine(result.stderr))
  }

  #damaged (action: string, why: string): ElderError {
    this.#suspect = true
    return new ElderError('GIT_FAILED', `git could not ${action} in the local mirror: ${why}`, 'Check the free space of the data directory; the mirror is a cache and is rebuilt by itself.')
  }

  #failure (action: string, result: GitOutput): ElderError {
    // Tried again soon it would cost as much each time.
    if (OUT_OF_MEMORY.test(result.stderr)) return tooLarge(this.url, 'git needs more memory for it than it may take')
    const seconds = Math.round((this.#init.networkMs ?? 120_000) / 1000)
    const error = gitFailure(action, this.#init.url, result.timedOut ? `fatal: no answer within ${seconds} s (timed out)` : result.stderr)
    if (error.code === 'GIT_FAILED') this.#suspect = true
    return error
  }

  #own (): { profile: 'own', gitDir: string, deadlineMs: number } { return { profile: 'own', gitDir: this.#init.dir, deadlineMs: this.#init.localMs ?? 60_000 } }

  #remote (): { profile: 'path' | 'network', deadlineMs: number } {
    return { profile: isPathRemote(this.#init.url) ? 'path' : 'network', deadlineMs: this.#init.networkMs ?? 120_000 }
  }

  #run (call: Call): Promise<GitOutput> { return runGit({ ...this.#own(), ...call }) }
}

/** What `cat-file --batch` answers: a header and the content of each, and a little more so that a longer answer shows. */
function bytesOf (files: TreeFile[]): number { return files.reduce((sum, { bytes }) => sum + bytes + 128, 1024) }

function * grouped (files: TreeFile[]): Generator<TreeFile[]> {
  let group: TreeFile[] = []
  let bytes = 0
  for (const file of files) {
    if (group.length > 0 && bytes + file.bytes > GROUP_BYTES) {
      yield group
      group = []
      bytes = 0
    }
    group.push(file)
    bytes += file.bytes
  }
  if (group.length > 0) yield group
}

/** Output of `cat-file --batch`: `<id> blob <bytes>\n<content>\n` for each id, in order. */
function contents (stdout: Buffer, files: TreeFile[]): Array<{ file: TreeFile, content: Uint8Array }> | undefined {
  const out: Array<{ file: TreeFile, content: Uint8Array }> = []
  let at = 0
  for (const file of files) {
    const start = at + `${file.blob} blob ${file.bytes}\n`.length
    if (stdout.toString('latin1', at, start) !== `${file.blob} blob ${file.bytes}\n`) return undefined
    at = start + file.bytes + 1
    out.push({ file, content: stdout.subarray(start, at - 1) })
  }
  return out
}

