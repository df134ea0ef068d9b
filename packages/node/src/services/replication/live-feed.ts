/**
 * Gossip of new records, out and in.
 *
 * A received one is acknowledged to its author with our vector digest, so that both know at once that the stack has one more
 * copy: have := [key, digest] -> [digest of the answerer]
 */
import { codeOf, feedDevice, liveOf, liveValue, MalformedError, parseStackKey, type Crypto, type DeviceId, type Live, type StackKey, type Value } from '@elder-node/protocol'
import type { Mesh } from '../../ports/mesh.ts'
import type { HeldStack } from '../stacks/held-stack.ts'
import type { Stacks } from '../stacks.ts'
import type { Copies } from './copies.ts'

export interface LiveFeedComponents {
  mesh: Mesh
  stacks: Stacks
  crypto: Crypto
  copies: Copies
  /** Something is missing that this device has. */
  behind: (device: DeviceId) => void
}

/** Messages of one stack that wait for those before; beyond, an exchange is cheaper. */
const WAITING_MAX = 256
/** Bursts are acknowledged once. */
const ACKNOWLEDGE_MS = 100
const REQUEST_MS = 5000

export class LiveFeed {
  readonly #components: LiveFeedComponents
  /** Per stack, the messages being applied: in order, each judged after the one before. */
  readonly #lines = new Map<StackKey, { waiting: number, tail: Promise<void> }>()
  readonly #acknowledging = new Map<string, NodeJS.Timeout>()
  readonly #stopAppend: () => void

  /** Registers its handlers: before the mesh starts. */
  constructor (components: LiveFeedComponents) {
    const { mesh, stacks } = components
    this.#components = components
    mesh.onGossip('stack', { role: 'member' }, (from, message) => { this.#hear(from, message) })
    mesh.onRequest('sync', { role: 'observer' }, (from, message) => this.#answer(from, message))
    this.#stopAppend = stacks.onAppend((held, batch) => {
      mesh.broadcast('stack', liveValue(held.key, held.name, batch)).catch(() => { /* the next exchange brings it */ })
    })
  }

  stop (): void {
    this.#stopAppend()
    for (const timer of this.#acknowledging.values()) clearTimeout(timer)
    this.#acknowledging.clear()
  }

  #hear (from: DeviceId, message: Value): void {
    const live = this.#read(from, message)
    if (live === undefined || !this.#components.stacks.accepts(live.key, live.head.feed)) return
    const line = this.#lines.get(live.key) ?? { waiting: 0, tail: Promise.resolve() }
    if (line.waiting >= WAITING_MAX) return this.#components.behind(from)
    line.waiting++
    line.tail = line.tail.then(() => this.#apply(from, live)).catch((error: unknown) => {
      // A broken batch is its sender's fault; a full disk or a stack that cannot be opened may mend.
      if (codeOf(error) !== 'MALFORMED') this.#components.behind(from)
    }).finally(() => { if (--line.waiting === 0) this.#lines.delete(live.key) })
    this.#lines.set(live.key, line)
  }

  /** Undefined for what breaks the rules: only the author of a feed gossips it. */
  #read (from: DeviceId, message: Value): Live | undefined {
    try {
      const live = liveOf(message, this.#components.crypto)
      return feedDevice(live.head.feed) === from ? live : undefined
    } catch {
      return undefined
    }
  }

  async #apply (from: DeviceId, live: Live): Promise<void> {
    const { stacks, behind } = this.#components
    const held = stacks.held(live.key)
    if (held?.stack.holds(live.head.hash) === true) return
    // The first record of a stack makes it; anything later shows that we are behind.
    if (live.batch === undefined || (held === undefined && live.batch.from > 1)) return behind(from)
    const { missing } = await stacks.receive(live.key, live.name, [live.batch])
    if (missing.length > 0) return behind(from)
    this.#acknowledge(from, live.key)
  }

  #acknowledge (author: DeviceId, key: StackKey): void {
    const name = `${author} ${key}`
    if (this.#acknowledging.has(name)) return
    this.#acknowledging.set(name, setTimeout(() => {
      this.#acknowledging.delete(name)
      void this.#tell(author, key)
    }, ACKNOWLEDGE_MS).unref())
  }

  async #tell (author: DeviceId, key: StackKey): Promise<void> {
    const { mesh, stacks, copies } = this.#components
    const ours = stacks.held(key)?.stack.feedsDigest()
    if (ours === undefined || !mesh.peers().some(({ device }) => device === author)) return
    try {
      const answer = await mesh.request(author, 'sync', [key, ours], { signal: AbortSignal.timeout(REQUEST_MS) })
      copies.learn(author, [[key, digestOf(Array.isArray(answer) ? answer[0] : undefined)]])
    } catch {
      // The next exchange tells.
    }
  }

  #answer (from: DeviceId, message: Value): Value {
    const [text, digest] = Array.isArray(message) && message.length === 2 ? message : []
    const held: HeldStack | undefined = this.#components.stacks.held(parseStackKey(text).key)
    if (held === undefined) throw new MalformedError('there is no such stack here')
    this.#components.copies.learn(from, [[held.key, digestOf(digest)]])
    return [held.stack.feedsDigest()]
  }
}

function digestOf (value: Value | undefined): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== 32) throw new MalformedError('a digest has 32 bytes')
  return value
}
