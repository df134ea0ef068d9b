/**
 * Keeps the stacks of all devices equal: new records are gossiped, and what gossip misses is exchanged when two devices meet,
 * every half minute with one random peer, and whenever a message shows that something is missing.
 * See docs/PROTOCOL.md, "Replication".
 */
import {
  AntiEntropy, codeOf, feedDevice, formatTraceparent, nextSpan, traceIdOf,
  type AntiEntropyEffect, type AntiEntropyInit, type AntiEntropyInput, type Crypto, type DeviceId, type Replica, type StackKey, type VectorEntry,
} from '@elder-node/protocol'
import type { Clock, RandomBytes } from '../ports/host.ts'
import type { Logger } from '../ports/log.ts'
import type { FrameStream, Mesh } from '../ports/mesh.ts'
import { attempt, every } from '../timers.ts'
import { Copies } from './replication/copies.ts'
import { Exchange, type ExchangeResult } from './replication/exchange.ts'
import { LiveFeed } from './replication/live-feed.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'
import { uniform } from './uniform.ts'

export interface ReplicationComponents {
  mesh: Mesh
  stacks: Stacks
  crypto: Crypto
  clock: Clock
  random: RandomBytes
  log: Logger
}

export interface ReplicationInit extends AntiEntropyInit {
  /** How often timers are looked at, milliseconds. @default 500 */
  tickMs?: number
  /** An exchange without a frame from the peer ends after this, milliseconds. @default 15_000 */
  idleMsMax?: number
}

const OPEN_MS = 5000

export class Replication {
  readonly #components: ReplicationComponents
  readonly #init: ReplicationInit
  readonly #antiEntropy: AntiEntropy
  readonly #copies = new Copies()
  readonly #live: LiveFeed
  readonly #exchanges = new Set<Exchange>()
  readonly #stops: Array<() => void> = []
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  /** Registers its handlers: before the mesh starts. */
  constructor (components: ReplicationComponents, init: ReplicationInit = {}) {
    const { mesh, stacks, random } = components
    this.#components = components
    this.#init = init
    this.#antiEntropy = new AntiEntropy({ self: mesh.self, random: () => uniform(random) }, init)
    this.#live = new LiveFeed({ ...components, copies: this.#copies, behind: device => { this.#decide({ type: 'behind', device }) } })
    mesh.onStream('sync', { role: 'observer', concurrencyMax: 4 }, stream => this.#answer(stream))
    this.#stops.push(
      mesh.on('admitted', device => { this.#decide({ type: 'admitted', device }) }),
      mesh.on('gone', device => { this.#decide({ type: 'gone', device }) }),
      stacks.onUntold(() => { this.announce() }),
    )
  }

  start (): void {
    for (const { device } of this.#components.mesh.peers()) this.#decide({ type: 'admitted', device })
    this.#timer = every(this.#init.tickMs ?? 500, () => { this.#tick() }, this.#failed).unref()
  }

  #tick (): void {
    for (const exchange of this.#exchanges) attempt(() => { exchange.tick() }, this.#failed)
    this.#decide({ type: 'tick' })
  }

  readonly #failed = (error: unknown): void => { this.#components.log.warn({ err: error }, 'an exchange of stacks could not go on') }

  /** Ends every exchange. Never rejects. */
  stop (): void {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#live.stop()
    for (const stop of this.#stops.splice(0)) stop()
    for (const exchange of this.#exchanges) exchange.abort()
  }

  /** Other devices known to hold exactly what this device holds of the stack. */
  holders (held: HeldStack): DeviceId[] { return this.#copies.holders(held.key, held.stack.feedsDigest()) }

  /** How many those are, this one included. */
  copies (held: HeldStack): number { return 1 + this.holders(held).length }

  /** A device that left the mesh holds no copy that counts. */
  forget (device: DeviceId): void { this.#copies.forget(device) }

  /** Exchange with every peer now: something is here that no gossip tells. */
  announce (): void { this.#decide({ type: 'changed' }) }

  /** One exchange with this device, now. @throws ElderError `UNREACHABLE` when no stream opens */
  async exchange (device: DeviceId): Promise<ExchangeResult> {
    const stream = await this.#components.mesh.openStream(device, 'sync', { signal: AbortSignal.timeout(OPEN_MS) })
    return await this.#run(stream, true)
  }

  #decide (input: AntiEntropyInput): void {
    if (this.#stopped) return
    for (const effect of this.#antiEntropy.handle(input, this.#components.clock.monotonicMs())) void this.#sync(effect)
  }

  async #sync ({ device }: AntiEntropyEffect): Promise<void> {
    const reason = await this.exchange(device).then(result => result.reason, codeOf)
    if (reason !== 'done') this.#components.log.debug({ device, reason }, 'an exchange of stacks did not finish; it is tried again')
    this.#decide({ type: 'ended', device, ok: reason === 'done' })
  }

  async #answer (stream: FrameStream): Promise<void> {
    const { reason } = await this.#run(stream, false)
    if (reason === 'malformed') this.#components.log.warn({ device: stream.device }, 'a device broke the rules of the exchange of stacks')
  }

  async #run (stream: FrameStream, opened: boolean): Promise<ExchangeResult> {
    const { stacks, crypto, clock, random, log } = this.#components
    const exchange = new Exchange({ stream, replica: replicaOf(stacks), intake: stacks, crypto, clock, log }, {
      ...(this.#init.idleMsMax === undefined ? {} : { idleMsMax: this.#init.idleMsMax }), ...(opened ? { traceparent: formatTraceparent(nextSpan(undefined, random)) } : {}),
    })
    this.#exchanges.add(exchange)
    try {
      const result = await exchange.run({ opened })
      this.#copies.learn(stream.device, result.peer)
      if (result.traceparent !== null) log.info({ trace: traceIdOf(result.traceparent), device: stream.device, opened, reason: result.reason }, 'stacks exchanged')
      return result
    } finally {
      this.#exchanges.delete(exchange)
    }
  }
}

/** Of an archived stack also what its origin, as it is known here, does not allow: the other device may know more of its members. */
function wants (stacks: Stacks, key: StackKey, head: VectorEntry): boolean {
  const held = stacks.held(key)
  if (held === undefined) return stacks.accepts(key, head.feed)
  return held.stack.wants(head) || (held.archivedFrom !== undefined && !held.mayWrite(feedDevice(head.feed)))
}

/** The stacks as an exchange reads them. */
function replicaOf (stacks: Stacks): Replica {
  return {
    stacks: () => stacks.summaries(),
    vector: key => stacks.held(key)?.stack.vector() ?? [],
    digest: key => stacks.held(key)?.stack.feedsDigest() ?? new Uint8Array(32),
    path: (key, want) => stacks.held(key)?.stack.path(want) ?? [],
    wants: (key, head) => wants(stacks, key, head),
    holds: (key, hash) => stacks.held(key)?.stack.holds(hash) ?? false,
    longest: (key, feed, below) => stacks.held(key)?.stack.longest(feed, below) ?? 0,
    missing: key => stacks.held(key)?.stack.missing() ?? [],
    has: key => stacks.held(key) !== undefined,
    origin: key => stacks.origin(key),
  }
}
