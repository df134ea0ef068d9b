/** One device of the simulated mesh: the shipped machines, a light replica, and streams that break when a frame is lost. */
import {
  AntiEntropy, judgeLive, liveOf, liveValue, SyncSession,
  type AntiEntropyEffect, type AntiEntropyInit, type DeviceId, type Live, type SessionEffect, type SessionInput, type Value, type Vector,
} from '@elder-node/protocol'
import type { Actor, World } from '../world.ts'
import { cheapCrypto, cheapSigner, SimReplica } from './replica.ts'

export type SimMessage =
  | { kind: 'live', value: Value }
  /** `index` counts the frames of one direction; the stream delivers them in order or not at all. */
  | { kind: 'frame', stream: string, index: number, frame: Uint8Array }

/** The parts a mutant replaces. */
export interface Parts {
  session: typeof SyncSession
  antiEntropy: typeof AntiEntropy
  judgeLive: (ours: Vector, live: Live) => 'known' | 'apply' | 'behind'
}

export const SHIPPED: Parts = { session: SyncSession, antiEntropy: AntiEntropy, judgeLive }

interface Stream { peer: string, session: SyncSession, opened: boolean, sent: number, heard: number, early: Map<number, Uint8Array> }

export class SimDevice implements Actor<SimMessage> {
  readonly name: string
  readonly replica: SimReplica
  readonly #world: World<SimMessage>
  readonly #parts: Parts
  readonly #init: { antiEntropy: AntiEntropyInit, gossip: boolean, names: Map<DeviceId, string> }
  #antiEntropy: AntiEntropy
  #streams = new Map<string, Stream>()
  /** A stream that is over stays over: a late copy of its first frame opens nothing. */
  #over = new Set<string>()
  #opened = 0
  #life = 0

  constructor (name: string, world: World<SimMessage>, parts: Parts, init: { antiEntropy: AntiEntropyInit, gossip: boolean, names: Map<DeviceId, string> }) {
    this.name = name
    this.replica = new SimReplica(cheapSigner(name))
    this.#world = world
    this.#parts = parts
    this.#init = init
    init.names.set(this.replica.device, name)
    this.#antiEntropy = this.#newAntiEntropy()
  }

  #newAntiEntropy (): AntiEntropy {
    return new this.#parts.antiEntropy({ self: this.replica.device, random: this.#world.random }, this.#init.antiEntropy)
  }

  /** Starts, or starts again after a crash. */
  boot (): void {
    this.#life++
    this.replica.restart()
    for (const id of this.#streams.keys()) this.#over.add(id)
    this.#streams = new Map()
    this.#antiEntropy = this.#newAntiEntropy()
    this.#world.wake(this.name, 500, 'tick')
  }

  admitted (peer: SimDevice): void { this.#act(this.#antiEntropy.handle({ type: 'admitted', device: peer.replica.device }, this.#now())) }
  gone (peer: SimDevice): void { this.#act(this.#antiEntropy.handle({ type: 'gone', device: peer.replica.device }, this.#now())) }

  append (stack: string, texts: string[], peers: string[]): void {
    const { key, name, batch } = this.replica.append(stack, texts)
    this.#world.trace('append', `${this.name} ${stack} ${batch.head.seq}`)
    if (this.#init.gossip) for (const peer of peers) this.#world.send(this.name, peer, { kind: 'live', value: liveValue(key, name, batch) })
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

  #live (from: string, value: Value): void {
    const live = liveOf(value, cheapCrypto)
    const verdict = this.#parts.judgeLive(this.replica.vector(live.key), live)
    const missing = verdict === 'apply' && live.batch !== undefined ? this.replica.receive(live.name, live.batch) : []
    if (verdict === 'behind' || missing.length > 0) this.#act(this.#antiEntropy.handle({ type: 'behind', device: this.#deviceOf(from) }, this.#now()))
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
      case 'apply': {
        const missing = effect.batches.flatMap(batch => this.replica.receive(effect.name, batch))
        return this.#drive(id, stream, { type: 'applied', missing, closed: [] })
      }
      case 'origin': return this.#drive(id, stream, { type: 'origin', accepted: false })
      case 'end': return this.#ended(id, stream, effect.reason)
    }
  }

  #ended (id: string, stream: Stream, reason: string): void {
    this.#world.trace('end', `${this.name} ${id} ${reason}`)
    if (reason === 'malformed' || reason === 'failed') throw new Error(`${this.name}: exchange ${id} ended with ${reason}`)
    this.#streams.delete(id)
    this.#over.add(id)
    if (stream.opened) this.#act(this.#antiEntropy.handle({ type: 'ended', device: this.#deviceOf(stream.peer), ok: reason === 'done' }, this.#now()))
  }

  #deviceOf (name: string): DeviceId {
    return [...this.#init.names].find(([, other]) => other === name)?.[0] as DeviceId
  }

  #now (): number { return this.#world.clockOf(this.name) }
}
