/** One device of the simulated mesh: the shipped machines over the shipped stacks, and streams that break when a frame is lost. */
import {
  AntiEntropy, codeOf, liveOf, liveValue, SyncSession, type AntiEntropyEffect, type AntiEntropyInit, type Batch, type DeviceId, type SessionEffect, type SessionInput, type Value,
} from '@elder-node/protocol'
import type { Stack } from '@elder-node/crdt-stack'
import type { Actor, World } from '../world.ts'
import type { DiskFaults } from './disk.ts'
import { cheapCrypto } from '../../../packages/protocol/test/support/cheap-crypto.ts'
import { SimReplica } from './replica.ts'

export type SimMessage =
  | { kind: 'live', value: Value }
  /** `index` counts the frames of one direction; the stream delivers them in order or not at all. */
  | { kind: 'frame', stream: string, index: number, frame: Uint8Array }

/** The parts a mutant replaces. */
export interface Parts {
  session: typeof SyncSession
  antiEntropy: typeof AntiEntropy
  disk: DiskFaults
}

export const SHIPPED: Parts = { session: SyncSession, antiEntropy: AntiEntropy, disk: {} }

export interface DeviceInit { antiEntropy: AntiEntropyInit, gossip: boolean, names: Map<DeviceId, string>, peers: () => string[], onError: (error: unknown) => void }

interface Stream { peer: string, session: SyncSession, opened: boolean, sent: number, heard: number, early: Map<number, Uint8Array> }

const SYNC_MS: readonly [number, number] = [1, 40]

export class SimDevice implements Actor<SimMessage> {
  readonly name: string
  readonly replica: SimReplica
  readonly #world: World<SimMessage>
  readonly #parts: Parts
  readonly #init: DeviceInit
  #antiEntropy: AntiEntropy
  #streams = new Map<string, Stream>()
  /** A stream that is over stays over: a late copy of its first frame opens nothing. */
  #over = new Set<string>()
  #opened = 0
  #life = 0

  constructor (name: string, world: World<SimMessage>, parts: Parts, init: DeviceInit) {
    this.name = name
    this.#world = world
    this.#parts = parts
    this.#init = init
    this.replica = new SimReplica(name, {
      random: world.random, wallMs: () => 1_750_000_000_000 + Math.floor(world.now), synced: () => this.#synced(),
      onAppend: (key, stack, batch) => { this.#tell(liveValue(key, stack, batch)) },
    }, parts.disk)
    init.names.set(this.replica.device, name)
    this.#antiEntropy = this.#newAntiEntropy()
  }

  #newAntiEntropy (): AntiEntropy {
    return new this.#parts.antiEntropy({ self: this.replica.device, random: this.#world.random }, this.#init.antiEntropy)
  }

  /** Starts, or starts again after a crash. Nobody is met before the disk was read. */
  async boot (): Promise<void> {
    this.#life++
    for (const id of this.#streams.keys()) this.#over.add(id)
    this.#streams = new Map()
    this.#antiEntropy = this.#newAntiEntropy()
    await this.replica.boot()
    this.#world.wake(this.name, 500, 'tick')
  }

  /** Counts lives: what a former one waited for never comes. */
  get life (): number { return this.#life }

  /** The process is gone. */
  end (): void { this.#life++ }

  admitted (peer: SimDevice): void { this.#act(this.#antiEntropy.handle({ type: 'admitted', device: peer.replica.device }, this.#now())) }
  gone (peer: SimDevice): void { this.#act(this.#antiEntropy.handle({ type: 'gone', device: peer.replica.device }, this.#now())) }

  /** `work` writes; it ends in virtual time. */
  write (stack: string, work: (stack: Stack) => Promise<void>): void {
    const life = this.#life
    this.replica.open(stack).then(async opened => { if (life === this.#life) await work(opened) }).catch(this.#init.onError)
  }

  receive (from: string, message: SimMessage): void {
    if (message.kind === 'live') return this.#live(from, message.value)
    const { stream: id, index, frame } = message
    const stream = this.#streams.get(id) ?? (!this.#over.has(id) && !id.startsWith(`${this.name}/`) ? this.#open(id, from, false) : undefined)
    if (stream === undefined || index < stream.heard) return
    stream.early.set(index, frame)
    for (let next = stream.early.get(stream.heard); next !== undefined; next = stream.early.get(stream.heard)) {
      stream.early.delete(stream.heard++)
      this.#drive(id, stream, { type: 'frame', frame: next })
    }
  }

  wake (): void {
    this.#world.wake(this.name, 500, 'tick')
    for (const [id, stream] of this.#streams) this.#drive(id, stream, { type: 'tick' })
    this.#act(this.#antiEntropy.handle({ type: 'tick' }, this.#now()))
  }

  async #synced (): Promise<void> {
    const life = this.#life
    const [least, most] = SYNC_MS
    await new Promise<void>(resolve => {
      this.#world.at(this.#world.now + least + this.#world.random() * (most - least), () => { if (life === this.#life) resolve() })
    })
  }

  #tell (value: Value): void {
    if (this.#init.gossip) for (const peer of this.#init.peers()) if (peer !== this.name) this.#world.send(this.name, peer, { kind: 'live', value })
  }

  #live (from: string, value: Value): void {
    const { key, name, head, batch } = liveOf(value, cheapCrypto)
    if (this.replica.holds(key, head.hash)) return
    const behind = (): void => { this.#act(this.#antiEntropy.handle({ type: 'behind', device: this.#deviceOf(from) }, this.#now())) }
    if (batch === undefined || (!this.replica.has(key) && batch.from > 1)) return behind()
    const life = this.#life
    // A full disk is no rule broken: the next exchange brings it.
    const again = (missing: number): void => { if (life === this.#life && missing > 0) behind() }
    this.#take(name, [batch]).then(again, () => { again(1) }).catch(this.#init.onError)
  }

  async #take (name: string, batches: readonly Batch[]): Promise<number> {
    const stack = await this.replica.open(name)
    return (await stack.receive(batches)).missing.length
  }

  #act (effects: AntiEntropyEffect[]): void {
    for (const { device } of effects) {
      const id = `${this.name}/${this.#life}.${this.#opened++}`
      this.#drive(id, this.#open(id, this.#init.names.get(device) as string, true), { type: 'start' })
    }
  }

  #open (id: string, peer: string, opened: boolean): Stream {
    const session = new this.#parts.session({ replica: this.replica, crypto: cheapCrypto }, { idleMsMax: 3000 })
    const stream = { peer, session, opened, sent: 0, heard: 0, early: new Map<number, Uint8Array>() }
    this.#streams.set(id, stream)
    return stream
  }

  #drive (id: string, stream: Stream, input: SessionInput): void {
    for (const effect of stream.session.handle(input, this.#now())) this.#carryOut(id, stream, effect)
  }

  #carryOut (id: string, stream: Stream, effect: SessionEffect): void {
    switch (effect.type) {
      case 'send': return this.#world.send(this.name, stream.peer, { kind: 'frame', stream: id, index: stream.sent++, frame: effect.frame })
      case 'apply': return this.#apply(id, stream, effect)
      case 'origin': return this.#drive(id, stream, { type: 'origin' })
      case 'end': return this.#ended(id, stream, effect.reason)
    }
  }

  #apply (id: string, stream: Stream, { name, batches }: Extract<SessionEffect, { type: 'apply' }>): void {
    const life = this.#life
    const next = (input: SessionInput): void => { if (life === this.#life && this.#streams.has(id)) this.#drive(id, stream, input) }
    this.#take(name, batches).then(() => { next({ type: 'applied' }) }, error => { next({ type: 'refused', reason: codeOf(error) === 'MALFORMED' ? 'malformed' : 'failed' }) }).catch(this.#init.onError)
  }

  #ended (id: string, stream: Stream, reason: string): void {
    this.#world.trace('end', `${this.name} ${id} ${reason}`)
    if (reason === 'malformed') throw new Error(`${this.name}: exchange ${id} ended with ${reason}`)
    this.#streams.delete(id)
    this.#over.add(id)
    if (stream.opened) this.#act(this.#antiEntropy.handle({ type: 'ended', device: this.#deviceOf(stream.peer), ok: reason === 'done' }, this.#now()))
  }

  #deviceOf (name: string): DeviceId {
    return [...this.#init.names].find(([, other]) => other === name)?.[0] as DeviceId
  }

  #now (): number { return this.#world.clockOf(this.name) }
}
