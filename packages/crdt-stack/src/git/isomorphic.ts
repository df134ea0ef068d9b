/**
 * {@link GitMirror} for devices without git: isomorphic-git over http and https, loaded when the first cache is opened.
 *
 * What it cannot do: ssh, file, the owner's credential helpers, deltas, repacking. Whole packs are held in memory. It is given a
 * file system that never tears a file, an HTTP client with a deadline, and one operation at a time: it guards none of the three.
 */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { Serial } from '../serial.ts'
import { isCrowded, looksBare, sweepLitter } from './atomic-fs.ts'
import { closeCache, emptyCache, markOpen, removeStale } from './cache.ts'
import { findCredential, takeCredential, type Credential } from './credentials.ts'
import { redact, RACES, rejection } from './failure.ts'
import { createHttpClient, unreachable } from './http-client.ts'
import { committer } from './identity.ts'
import { isomorphicFailure, pushVerdict } from './isomorphic-failure.ts'
import { IsomorphicObjects, type Library } from './isomorphic-objects.ts'
import { checkedPath } from './path.ts'
import { MIRROR_BRANCH, type BlobId, type Commit, type GitMirror, type GitOptions, type NewCommit, type TreeFile, type TreeOptions } from './port.ts'
import { editTree } from './tree-edit.ts'
import { Listing } from './tree-listing.ts'
import { withDefaultBranch } from './unborn-head.ts'

type Access = Pick<Parameters<Library['fetch']>[0], 'http' | 'onAuth' | 'onAuthFailure'> & { url: string }

export interface IsomorphicGitInit {
  /** Folder of the bare cache: this object's alone, made when missing. Native git can take it over, and the other way round. */
  dir: string
  /** `http://` or `https://`. */
  url: string
  /** Milliseconds a fetch or push may take. @default 120_000 */
  networkMs?: number
  /** Bytes of one answer of the remote, which is held in memory several times over. @default 134_217_728 */
  answerBytesMax?: number
  /** Commits of history to fetch; undefined for all. A restore needs one. */
  depth?: number
}

const TIP_REF = 'refs/elder/tip'
const COMMIT = /^[0-9a-f]{40}$/
/** isomorphic-git moves the refs of a fetch before it stores the objects: this one matches nothing, and the tip is ours to note. */
const NO_REFSPEC = '+refs/elder/none:refs/elder/none'

/** @throws ElderError `GIT_MISSING` for a URL that only git itself can speak to. */
export async function openIsomorphicGit (init: IsomorphicGitInit, { signal }: GitOptions): Promise<GitMirror> {
  const url = URL.canParse(init.url) ? new URL(init.url) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new ElderError('GIT_MISSING', `"${redact(init.url)}" needs git, which is not installed on this device`, 'Install git for ssh:// and local remotes, use an https:// remote, or let another device of the mesh mirror to it.')
  }
  const git = new IsomorphicGit({ ...init, dir: resolve(init.dir) }, url, await import('isomorphic-git'))
  await git.open(signal)
  return git
}

class IsomorphicGit implements GitMirror {
  readonly url: string
  readonly #init: IsomorphicGitInit
  /** Without user info. */
  readonly #bareUrl: string
  readonly #given: Credential | undefined
  readonly #git: Library
  readonly #objects: IsomorphicObjects
  readonly #turns = new Serial()
  /** The cache misbehaved: it is fetched anew before it is used again. */
  #suspect = false

  constructor (init: IsomorphicGitInit, url: URL, git: Library) {
    this.#init = init
    this.#git = git
    this.url = redact(init.url)
    this.#objects = new IsomorphicObjects(git, init.dir)
    const { url: bareUrl, credential } = takeCredential(url)
    this.#bareUrl = bareUrl.replace(/\/$/, '')
    this.#given = credential
  }

  async open (signal: AbortSignal): Promise<void> {
    await this.#turn(signal, async () => {
      const { dir } = this.#init
      await sweepLitter(dir)
      await removeStale(dir, Date.now() - process.uptime() * 1000)
      if (await looksBare(dir)) await this.#configure()
      else await this.#recreate()
      await markOpen(dir)
    })
  }

  fetchTip ({ signal }: GitOptions): Promise<Commit | undefined> {
    return this.#turn(signal, async () => {
      if (this.#suspect || await isCrowded(this.#init.dir)) await this.#recreate()
      // Whole packs: kept for one pass, so that memory does not grow with time.
      this.#objects.forget()
      const refs = await this.#network('read', signal, access => this.#git.listServerRefs({ ...access, prefix: MIRROR_BRANCH, protocolVersion: 2 }))
      const tip = refs.find(({ ref }) => ref === MIRROR_BRANCH)?.oid
      if (tip === undefined || !COMMIT.test(tip)) return undefined
      return await this.#noted() === tip ? tip as Commit : await this.#fetch(signal)
    })
  }

  isAncestor (ancestor: Commit, commit: Commit, { signal }: GitOptions): Promise<boolean> {
    return this.#turn(signal, async () => {
      const objects = this.#objects
      return await this.#local('read the history', async () => await objects.hasCommit(ancestor) && await objects.hasCommit(commit) && await objects.descends(commit, ancestor))
    })
  }

  readTree (commit: Commit, options: TreeOptions): Promise<TreeFile[]> {
    return this.#turn(options.signal, () => this.#local('read the tree', async () => {
      const listing = new Listing(this.url, options)
      for await (const { path, oid } of this.#objects.files(commit, () => { listing.pass() })) {
        if (options.signal.aborted) break
        if (listing.wants(path)) listing.add({ path, blob: oid as BlobId, bytes: await this.#objects.bytes(oid) })
      }
      return listing.files
    }))
  }

  async * readBlobs (files: TreeFile[], { signal }: GitOptions): AsyncGenerator<{ file: TreeFile, content: Uint8Array }> {
    for (const file of files) yield { file, content: await this.#turn(signal, () => this.#local('read files', () => this.#objects.blob(file.blob))) }
  }

  blobId (content: Uint8Array): BlobId {
    return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex') as BlobId
  }

  commitTree (commit: NewCommit, { signal }: GitOptions): Promise<Commit> {
    return this.#turn(signal, () => this.#local('write a commit', async () => {
      const edits = commit.changes.map(({ path, content }) => ({ path: checkedPath(path), blob: content === null ? null : this.blobId(content) }))
      await this.#objects.writeBlobs([...new Map(commit.changes.flatMap(({ content }) => content === null ? [] : [[this.blobId(content), content]])).values()])
      const base = commit.parent === undefined ? undefined : await this.#git.readCommit({ ...this.#objects.repository, oid: commit.parent })
      const tree = await editTree(this.#objects, base?.commit.tree, edits)
      const parent = base === undefined ? '' : `parent ${base.oid}\n`
      const who = committer(commit.atMs)
      const object = Buffer.from(`tree ${tree}\n${parent}author ${who}\ncommitter ${who}\n\n${commit.message}`, 'utf8')
      return await this.#git.writeObject({ ...this.#objects.repository, type: 'commit', format: 'content', object }) as Commit
    }))
  }

  push (commit: Commit, { signal }: GitOptions): Promise<'ok' | 'rejected'> {
    return this.#turn(signal, async () => {
      const said: string[] = []
      let moved = false
      const onPrePush = async ({ remoteRef: { oid } }: { remoteRef: { oid: string } }): Promise<boolean> => {
        // Asked before anything is packed: what is not built on the remote's tip has no chance.
        moved = !/^0+$/.test(oid) && !(await this.#objects.hasCommit(oid) && await this.#objects.descends(commit, oid))
        return !moved
      }
      const declined = await this.#network('push', signal, async access => {
        try {
          await this.#git.push({ ...this.#objects.repository, ...access, remote: 'origin', ref: commit, remoteRef: MIRROR_BRANCH, onPrePush, onMessage: line => { said.push(line) } })
          return undefined
        } catch (error) {
          if (moved) return 'fetch first'
          return pushVerdict(error, MIRROR_BRANCH)
        }
      })
      if (declined === undefined) await this.#note(commit)
      else if (!RACES.test(declined)) throw rejection(this.#bareUrl, said.map(line => `remote: ${line}`).join('\n'), declined)
      return declined === undefined ? 'ok' : 'rejected'
    })
  }

  async close (): Promise<void> { await this.#turns.run(() => closeCache(this.#init.dir)) }

  async #fetch (signal: AbortSignal): Promise<Commit> {
    const depth = this.#init.depth === undefined ? {} : { depth: this.#init.depth }
    const { fetchHead } = await this.#network('fetch', signal, access => this.#git.fetch({ ...this.#objects.repository, ...access, http: withDefaultBranch(access.http, MIRROR_BRANCH), ...depth, remote: 'origin', ref: TIP_REF, remoteRef: MIRROR_BRANCH, singleBranch: true, tags: false }))
    const tip = fetchHead as Commit
    await this.#local('read what was fetched', () => this.#git.readCommit({ ...this.#objects.repository, oid: tip }))
    await this.#note(tip)
    return tip
  }

  async #note (tip: Commit): Promise<void> { await this.#local('note the tip', () => this.#git.writeRef({ ...this.#objects.repository, ref: TIP_REF, value: tip, force: true })) }

  /** The noted tip, when its commit is really there. */
  async #noted (): Promise<string | undefined> {
    const tip = await this.#git.resolveRef({ ...this.#objects.repository, ref: TIP_REF }).catch(() => '')
    return COMMIT.test(tip) && await this.#local('read the tip', () => this.#objects.hasCommit(tip)) ? tip : undefined
  }

  async #recreate (): Promise<void> {
    await this.#local('make the local mirror', async () => {
      await emptyCache(this.#init.dir)
      await this.#git.init({ ...this.#objects.repository, bare: true, defaultBranch: 'main' })
      await this.#configure()
    })
    this.#objects.forget()
    this.#suspect = false
  }

  /** A fetch refuses to work without a remote and a refspec, also when it is given a URL. */
  async #configure (): Promise<void> {
    for (const [path, value] of [['remote.origin.url', this.#bareUrl], ['remote.origin.fetch', NO_REFSPEC]] as const) await this.#git.setConfig({ ...this.#objects.repository, path, value })
  }

  async #network<T> (action: string, signal: AbortSignal, work: (access: Access) => Promise<T>): Promise<T> {
    const networkMs = this.#init.networkMs ?? 120_000
    const deadline = AbortSignal.timeout(networkMs)
    const both = AbortSignal.any([signal, deadline])
    try {
      return await work({ url: this.#bareUrl, http: createHttpClient({ signal: both, answerBytesMax: this.#init.answerBytesMax ?? 134_217_728 }), ...this.#auth() })
    } catch (error) {
      signal.throwIfAborted()
      if (deadline.aborted) throw unreachable(this.#bareUrl, `no answer within ${Math.round(networkMs / 1000)} s (timed out)`)
      throw this.#noticed(isomorphicFailure(action, this.#bareUrl, error, 'network'))
    }
  }

  async #local<T> (action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw this.#noticed(isomorphicFailure(action, this.#bareUrl, error, 'local'))
    }
  }

  #noticed (error: unknown): unknown {
    if (error instanceof ElderError && error.code === 'GIT_FAILED') this.#suspect = true
    return error
  }

  /** One try: a second one with the same words only locks accounts. */
  #auth (): Pick<Access, 'onAuth' | 'onAuthFailure'> {
    return {
      onAuth: async () => this.#given ?? await findCredential(new URL(this.#bareUrl)),
      onAuthFailure: () => ({ cancel: true }),
    }
  }

  /** Waits for its turn, and returns at once on an abort; what was begun still ends before the next turn. */
  async #turn<T> (signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<never>()
    const onAbort = (): void => { aborted.reject(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    const turn = this.#turns.run(async () => { signal.throwIfAborted(); return await work() })
    try {
      return await Promise.race([turn, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
