/** Stacks small enough to read, with real keys and real chains, and remotes to mirror them to. */
import { execFileSync } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, sign, verify, createPublicKey, type KeyObject } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  deviceId, encodeRecord, entryId, feedId, genesisHash, LIMITS, recordHash, signHead, stackId, toBase32, verifyBatch,
  type Batch, type Crypto, type EntryId, type FeedId, type Head, type Range, type Signer, type StackId, type Vector,
} from '@elder-node/protocol'
import { afterEach } from 'vitest'
import { MirrorSync, type MirroredStack, type MirrorSyncComponents, type MirrorSyncInit } from '../../src/mirror/index.ts'
import { openNativeGit, serveGit, type GitMirror, type GitServer, type GitServerInit } from '../../src/git/index.ts'
import type { Entry, Received } from '../../src/types.ts'

const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const publicKeyOf = (raw: Uint8Array): KeyObject => createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' })

export const crypto: Crypto = {
  sha256: (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest(),
  verify: (key, signature, message) => key.length === 32 && verify(null, message, publicKeyOf(key), signature),
}

export function newSigner (): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(12), sign: message => sign(null, message, privateKey) }
}

export const MESH = 'a'.repeat(26)
export const forever = { signal: new AbortController().signal }

/** Every record is a `new`; there are no deps. What a mirror must keep is exactly that. */
export class TinyStack implements MirroredStack {
  readonly id: StackId
  readonly key: string
  readonly #feeds = new Map<FeedId, { records: Uint8Array[], hashes: Uint8Array[], heads: Head[], entries: Entry[] }>()
  readonly #signer = newSigner()
  readonly #feed: FeedId = feedId(deviceId(this.#signer.publicKey), randomBytes(8))

  constructor (key: string) {
    this.key = key
    this.id = stackId(key.split('@')[0] as string, crypto)
  }

  get feed (): FeedId { return this.#feed }

  write (title: string, body = '', atMs = 1_780_000_000_000): Entry {
    const feed = this.#of(this.#feed)
    const seq = feed.records.length + 1
    const id = entryId(atMs + seq, randomBytes(10))
    const bytes = encodeRecord({ seq, prev: feed.hashes.at(-1) ?? genesisHash(this.id, this.#feed, crypto), deps: [], at: (atMs + seq) * 1024, agent: 'tester', kind: 'new', body: { id, kind: 'note', title, body } })
    this.#take({ feed: this.#feed, from: seq, records: [bytes], head: signHead(this.id, this.#feed, seq, recordHash(bytes, crypto), this.#signer) })
    return feed.entries.at(-1) as Entry
  }

  vector (): Vector {
    return new Map([...this.#feeds].flatMap(([feed, { hashes }]) => hashes.length === 0 ? [] : [[feed, { seq: hashes.length, hash: hashes.at(-1) as Uint8Array }] as const]))
  }

  batches ({ feed, from, to }: Range): Batch[] {
    const { records, heads } = this.#of(feed)
    const out: Batch[] = []
    for (const head of heads.filter(head => head.seq >= from && head.seq <= to)) {
      const start = out.length === 0 ? from : (out.at(-1) as Batch).head.seq + 1
      out.push({ feed, from: start, records: records.slice(start - 1, head.seq), head })
    }
    return out
  }

  async receive (batch: Batch): Promise<Received> {
    const have = this.#of(batch.feed).records.length
    if (batch.from > have + 1) return { accepted: 0, duplicate: 0, waiting: batch.records.length, missing: [{ feed: batch.feed, from: have + 1, to: batch.from - 1 }] }
    if (batch.head.seq <= have) return { accepted: 0, duplicate: batch.records.length, waiting: 0, missing: [] }
    return { accepted: this.#take(batch), duplicate: 0, waiting: 0, missing: [] }
  }

  entries (): Entry[] { return [...this.#feeds.values()].flatMap(feed => feed.entries) }

  /** What must be equal on both sides of a mirror. */
  digest (): string { return toBase32(crypto.sha256(Buffer.from(JSON.stringify(this.entries().sort((a, b) => a.id < b.id ? -1 : 1))))) }

  #take (batch: Batch): number {
    const feed = this.#of(batch.feed)
    const fresh = verifyBatch(this.id, batch, feed.hashes[batch.from - 2] ?? genesisHash(this.id, batch.feed, crypto), crypto)
    for (const record of fresh) {
      const body = record.body as { id: EntryId, kind: string, title: string, body: string }
      const at = new Date(record.at / 1024).toISOString()
      feed.records.push(record.bytes)
      feed.hashes.push(record.hash)
      feed.entries.push({ ...body, tags: [], author: { device: batch.feed.slice(0, 52) as Entry['author']['device'], agent: 'tester' }, createdAt: at, updatedAt: at, supersedes: null, removed: false, rivals: {}, extra: {} })
    }
    feed.heads.push(batch.head)
    return fresh.length
  }

  #of (feed: FeedId): { records: Uint8Array[], hashes: Uint8Array[], heads: Head[], entries: Entry[] } {
    const found = this.#feeds.get(feed) ?? { records: [], hashes: [], heads: [], entries: [] }
    this.#feeds.set(feed, found)
    return found
  }
}

const cleanups: Array<() => unknown> = []
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

export function folder (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-mirror-'))
  cleanups.push(() => { rmSync(dir, { recursive: true, force: true }) })
  return dir
}

export async function remote (init: Omit<GitServerInit, 'root'> = {}): Promise<{ url: string, dir: string, server: GitServer }> {
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

export async function mirrorOf (url: string, init: Partial<MirrorSyncInit> = {}, parts: Pick<MirrorSyncComponents, 'roster' | 'adopt'> = {}): Promise<MirrorSync> {
  const git = await gitOf(url)
  return new MirrorSync({ git, crypto, wallMs: Date.now, random: Math.random, sleep: (ms, signal) => sleep(ms, undefined, { signal }), ...parts }, { mesh: MESH, backoffMs: 10, backoffMsMax: 200, ...init })
}

export const WINDOW: number = LIMITS.batchRecordsMax
