/**
 * Gossip: topics `/elder/<mesh>/<topic>/1`, each message signed by its author (StrictSign).
 *
 * libp2p proves the author; that the author is a member with the role, and that the message has its shape and size, is
 * decided here, before it is passed on. Every node carries every topic, so a mesh does not fall apart by who listens to what.
 */
import { TopicValidatorResult } from '@libp2p/gossipsub'
import type { GossipSub, Message } from '@libp2p/gossipsub'
import { ElderError, LIMITS, decode, encode } from '@elder-node/protocol'
import type { DeviceId, MeshId, Value } from '@elder-node/protocol'
import type { Gate, GossipHandler, Topic } from '../../ports/mesh.ts'
import type { Logger } from '../../ports/log.ts'
import type { Metrics } from '../../ports/metrics.ts'
import type { Gatekeeper } from './gate.ts'
import { deviceOf } from './peer-id.ts'

export const TOPICS: readonly Topic[] = ['advert', 'stack', 'roster']

export function topicName (meshId: MeshId, topic: Topic): string { return `/elder/${meshId}/${topic}/1` }

interface Received { from: DeviceId, value: Value }
interface Subscriber { gate: Gate, handler: GossipHandler }

export interface GossipComponents { meshId: MeshId, gatekeeper: Gatekeeper, log: Logger, metrics?: Metrics | undefined }

export class Gossip {
  readonly #components: GossipComponents
  readonly #subscribers = new Map<Topic, Subscriber>()
  /** What the validator decoded, until the same message is delivered in the same turn. */
  readonly #decoded = new WeakMap<Message, Received>()
  #pubsub: GossipSub | undefined

  constructor (components: GossipComponents) { this.#components = components }

  handle (topic: Topic, gate: Gate, handler: GossipHandler): void {
    if (this.#subscribers.has(topic)) throw new Error(`the topic ${topic} has a handler`)
    this.#subscribers.set(topic, { gate, handler })
  }

  start (pubsub: GossipSub): void {
    this.#pubsub = pubsub
    for (const topic of TOPICS) {
      const name = topicName(this.#components.meshId, topic)
      pubsub.topicValidators.set(name, (_peer, message) => this.#validate(topic, message))
      pubsub.subscribe(name)
    }
    pubsub.addEventListener('message', event => { this.#deliver(event.detail) })
  }

  /** @throws ElderError `TOO_LARGE` */
  async broadcast (topic: Topic, message: unknown): Promise<number> {
    const bytes = encode(message)
    if (bytes.length > LIMITS.gossipBytesMax) {
      throw new ElderError('TOO_LARGE', `a gossip message of ${bytes.length} bytes exceeds the bound of ${LIMITS.gossipBytesMax}`, 'Gossip a hint, and send the rest over a stream.')
    }
    this.#components.metrics?.count('elder_gossip_messages_total', { topic, direction: 'sent' })
    const result = await this.#pubsub?.publish(topicName(this.#components.meshId, topic), bytes)
    return result?.recipients.length ?? 0
  }

  /** Devices known to carry the topic. */
  carriers (topic: Topic): Set<DeviceId> {
    const peers = this.#pubsub?.getSubscribers(topicName(this.#components.meshId, topic)) ?? []
    return new Set(peers.map(deviceOf).filter(device => device !== undefined))
  }

  /** Ignore costs the peer that passed it on nothing: it may not have heard of an eviction. Reject is for what no honest node sends. */
  #validate (topic: Topic, message: Message): TopicValidatorResult {
    const from = message.type === 'signed' ? deviceOf(message.from) : undefined
    if (from === undefined || message.data.length > LIMITS.gossipBytesMax) return TopicValidatorResult.Reject
    const gate = this.#subscribers.get(topic)?.gate ?? { role: 'observer' }
    if (!this.#components.gatekeeper.allows(from, gate)) return TopicValidatorResult.Ignore
    try {
      this.#decoded.set(message, { from, value: decode(message.data, LIMITS.gossipBytesMax) })
      return TopicValidatorResult.Accept
    } catch {
      return TopicValidatorResult.Reject
    }
  }

  #deliver (message: Message): void {
    const received = this.#decoded.get(message)
    const topic = TOPICS.find(topic => topicName(this.#components.meshId, topic) === message.topic)
    if (received === undefined || topic === undefined) return
    this.#components.metrics?.count('elder_gossip_messages_total', { topic, direction: 'received' })
    try {
      this.#subscribers.get(topic)?.handler(received.from, received.value)
    } catch (error) {
      this.#components.log.warn({ err: error, topic, device: received.from }, 'a gossip handler failed')
    }
  }
}
