/** Stacks small enough to read, with real keys and real chains, and remotes to mirror them to. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  deviceId, encodeRecord, entryId, feedDevice, feedId, genesisHash, LIMITS, recordHash, signHead, stackId, toBase32, toHex, verifyBatch,
  type Batch, type ChainedRecord, type DeviceId, type EntryId, type FeedId, type Signer, type StackId, type Want,
} from '@elder-node/protocol'
import { afterEach } from 'vitest'
import {
  MirrorSync, type MirroredStack, type MirrorSyncComponents, type MirrorSyncInit,
} from '../../src/mirror/index.ts'
import { openNativeGit, serveGit, type GitMirror, type GitServer, type GitServerInit } from '../../src/git/index.ts'
import type { Entry, Received } from '../../src/types.ts'
import { createSigner, crypto } from '../support.ts'

export { crypto }

/** Every signer of these tests: whoever takes records one by one signs for their author. */
const SIGNERS = new Map<DeviceId, Signer>()

export function newSigner (): Signer {
  const signer = createSigner()
  SIGNERS.set(deviceId(signer.publicKey), signer)
  return signer
}

export const MESH = 'a'.repeat(26)
export const forever = { signal: new AbortController().signal }

/** Every record is a `new`; there are no deps. What a mirror must keep is exactly that. */
export class TinyStack implements MirroredStack {
  readonly id: StackId
  readonly key: string
  /** By hash. */
  readonly #held = new Map<string, { batch: Batch, prev: string, entry: Entry }>()
  readonly #signer = newSigner()
  readonly #feed: FeedId = feedId(deviceId(this.#signer.publicKey), randomBytes(8))
  #tip: Batch | undefined

  constructor (key: string) {
    this.key = key
    this.id = stackId(key.split('@')[0] as string, crypto)
  }

  get feed (): FeedId { return this.#feed }

  write (title: string, body = '', atMs = 1_780_000_000_000): Entry {
    const seq = (this.#tip?.head.seq ?? 0) + 1
    const id = entryId(atMs + seq, randomBytes(10))
    const bytes = encodeRecord({
      seq, prev: this.#tip?.head.hash ?? genesisHash(this.id, this.#feed, crypto), deps: [], at: (atMs + seq) * 1024,
      agent: 'tester', kind: 'new', body: { id, kind: 'note', title, body },
    })
    this.#tip = {
      feed: this.#feed, from: seq, records: [bytes],
      head: signHead(this.id, this.#feed, seq, recordHash(bytes, crypto), this.#signer),
    }
    return this.#take(this.#tip)
  }

  /** Goes on from an earlier record, as a restored backup would. */
  goBack (seq: number): void { this.#tip = this.#path(this.#tip as Batch).find(batch => batch.head.seq === seq) }

  windows (): Want[] {
    const parents = new Set([...this.#held.values()].map(({ prev }) => prev))
    const tips = [...this.#held.values()].filter(({ batch }) => !parents.has(toHex(batch.head.hash)))
    const ends = tips.flatMap(
      ({ batch }) => this.#path(batch).filter(({ head }) => head.seq === batch.head.seq || head.seq % WINDOW === 0)
    )
    return [...new Set(ends)].map(
      ({ feed, head: { seq, hash } }) => ({ feed, from: Math.floor((seq - 1) / WINDOW) * WINDOW + 1, to: seq, hash })
    )
  }

  path ({ from, hash }: Want): Batch[] {
    const tip = this.#held.get(toHex(hash))?.batch
    return tip === undefined ? [] : this.#path(tip).filter(batch => batch.from >= from)
  }

  holdsAt (feed: FeedId, seq: number, hashPrefix: string): boolean {
    return [...this.#held].some(([hash, { batch }]) => batch.feed === feed && batch.head.seq === seq && hash.startsWith(hashPrefix))
  }

  feedsDigest (): Uint8Array { return crypto.sha256(...[...this.#held.keys()].sort().map(hash => Buffer.from(hash))) }

  async receive (batches: readonly Batch[]): Promise<Pick<Received, 'accepted' | 'missing'>> {
    let accepted = 0
    for (const batch of batches) {
      const records = verifyBatch(this.id, batch, crypto)
      for (const { bytes, feed, seq, hash } of records) {
        if (this.#held.has(toHex(hash))) continue
        // One signature each is all that a path of this stack can serve: the last of a batch signs the others too.
        this.#take({
          feed, from: seq, records: [bytes],
          head: seq === batch.head.seq ? batch.head : signHead(
            this.id, feed, seq, hash, SIGNERS.get(feedDevice(feed)) as Signer
          ),
        })
        accepted++
      }
    }
    const missing = [...this.#held.values()].filter(({ batch, prev }) => batch.from > 1 && !this.#held.has(prev))
    return {
      accepted,
      missing: missing.map(
        ({ batch, prev }) => ({ feed: batch.feed, seq: batch.from - 1, hash: new Uint8Array(Buffer.from(prev, 'hex')) })
      ),
    }
  }

  entries (): Entry[] { return [...this.#held.values()].map(({ entry }) => entry) }

  /** What must be equal on both sides of a mirror. */
  digest (): string { return toBase32(crypto.sha256(Buffer.from(JSON.stringify(this.entries().sort((a, b) => a.id < b.id ? -1 : 1))))) }

  #path (tip: Batch): Batch[] {
    const path: Batch[] = []
    for (
      let batch: Batch | undefined = tip; batch !== undefined;
      batch = this.#held.get(this.#held.get(toHex(batch.head.hash))?.prev ?? '')?.batch
    ) path.unshift(batch)
    return path
  }

  #take (batch: Batch): Entry {
    const [record] = verifyBatch(this.id, batch, crypto) as [ChainedRecord]
    const body = record.body as { id: EntryId, kind: string, title: string, body: string }
    const at = new Date(record.at / 1024).toISOString()
    const entry: Entry = {
      ...body, tags: [], author: { device: batch.feed.slice(0, 52) as Entry['author']['device'], agent: 'tester' },
      createdAt: at, updatedAt: at, revision: toHex(record.hash).slice(0, 16), supersedes: null, removed: false,
      rivals: {}, extra: {},
    }
    this.#held.set(toHex(record.hash), { batch, prev: toHex(record.prev), entry })
    return entry
  }
}

const cleanups: Array<() => unknown> = []
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

export function folder (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-mirror-'))
  cleanups.push(() => { rmSync(dir, { recursive: true, force: true }) })
  return dir
}

export async function remote (init: Omit<GitServerInit, 'root'> = {}): Promise<{
  url: string, dir: string, server: GitServer,
}> {
  const root = folder()
  const server = await serveGit({ root, ...init })
  cleanups.push(() => server.close())
  return { url: await server.create('memory.git'), dir: join(root, 'memory.git'), server }
}

/** Without a server: half the processes, for tests that are not about transport. */
export function bareRemote (): { url: string, dir: string } {
  const dir = join(folder(), 'memory.git')
  execFileSync('git', ['init', '--bare', '--quiet', dir])
  return { url: `file://${dir}`, dir }
}

export async function gitOf (url: string): Promise<GitMirror> {
  const git = await openNativeGit({ dir: join(folder(), 'cache'), url, networkMs: 20_000 }, forever)
  cleanups.push(() => git.close())
  return git
}

export async function mirrorOf (
  url: string, init: Partial<MirrorSyncInit> = {}, parts: Pick<MirrorSyncComponents, 'roster' | 'adopt'> = {}
): Promise<MirrorSync> {
  const git = await gitOf(url)
  return new MirrorSync(
    {
      git, crypto, wallMs: Date.now, random: Math.random, sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      ...parts,
    },
    { mesh: MESH, backoffMs: 10, backoffMsMax: 200, ...init }
  )
}

export const WINDOW: number = LIMITS.batchRecordsMax

/** One more commit on the branch, as `git fast-import` takes it. */
export function byHand (dir: string, changes: string): void {
  execFileSync('git', ['-C', dir, 'fast-import', '--quiet'], { input: `commit refs/heads/elder/memory\ncommitter A <a@b> 1 +0000\ndata 1\nx\nfrom refs/heads/elder/memory^0\n${changes}` })
}
