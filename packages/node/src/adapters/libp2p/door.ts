/**
 * The door: admission inside the connection encrypter `/elder/door/1`, before any muxer or protocol exists.
 *
 *     dialer  -> knock, Noise XX, hello        hello  := CBOR, at most LIMITS.doorBytesMax
 *     listener                      -> answer  answer := {ok: proof} | {no: code, proof?}
 *
 * The dialer's hello rides behind the third Noise message, so the price is one round trip. A joiner is a member before Yamux
 * starts; a stranger reaches no protocol at all. It is the only encrypter of the node: `noise()` beside it would be a hole.
 */
import { noise } from '@libp2p/noise'
import { byteStream, lpStream } from '@libp2p/utils'
import { serviceCapabilities } from '@libp2p/interface'
import type { AbortOptions, ConnectionEncrypter, MessageStream, PeerId, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import type { NoiseComponents } from '@libp2p/noise'
import { LIMITS, MalformedError, decode, encode, isRefusalCode } from '@elder-node/protocol'
import type { DeviceId, Value } from '@elder-node/protocol'
import type { Admission, Verdict } from '../../ports/admission.ts'
import { KNOCK_BYTES, knock, knows } from './knock.ts'
import { deviceOf } from './peer-id.ts'
import { refusal } from './refusal.ts'

export const DOOR_PROTOCOL = '/elder/door/1'
/** What one side may make us hold before it is admitted. A TCP read brings up to 64 KiB at a time. */
const DOOR_BUFFER_BYTES = 131_072
/** Shorter than the inbound upgrade's own limit, so a carried ticket that hangs still ends in a readable refusal. */
const DECIDE_MS = 4_000

export interface DoorEvents {
  /** This node, the listener, said no. */
  refused?: (dialer: DeviceId, code: string) => void
  /** This one knocked as a member does. */
  knocked?: (connection: MessageStream) => void
  /** It was let in, or not. */
  answered?: (connection: MessageStream) => void
}

export function door (admission: Admission, events: DoorEvents = {}): (components: NoiseComponents) => ConnectionEncrypter {
  return components => new Door(components, admission, events)
}

class Door implements ConnectionEncrypter {
  readonly protocol = DOOR_PROTOCOL
  readonly [serviceCapabilities]: string[] = ['@libp2p/connection-encryption']
  readonly #inner: ConnectionEncrypter
  readonly #self: DeviceId
  readonly #admission: Admission
  readonly #events: DoorEvents

  constructor (components: NoiseComponents, admission: Admission, events: DoorEvents) {
    this.#inner = noise()(components)
    this.#self = mustBeDevice(components.peerId)
    this.#admission = admission
    this.#events = events
  }

  async secureOutbound (connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    if (options.remotePeer === undefined) throw new Error('an address without /p2p/ cannot be dialled: the knock is made for one listener')
    const listener = mustBeDevice(options.remotePeer)
    connection.send(knock(this.#admission.meshSecret, listener))
    const secured = await this.#inner.secureOutbound(connection, options)
    const frames = lpStream(secured.connection, { maxDataLength: LIMITS.doorBytesMax, maxBufferSize: DOOR_BUFFER_BYTES })
    await frames.write(encode(this.#admission.hello(listener)), options)
    const answer = answerOf((await frames.read(options)).subarray())
    if (!answer.ok) {
      this.#admission.refused(listener, answer.code, answer.proof)
      throw refusal(answer.code)
    }
    this.#admission.greeted(listener, answer.answer)
    return { ...secured, connection: frames.unwrap() }
  }

  async secureInbound (connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    try {
      return await this.#admit(connection, options)
    } finally {
      this.#events.answered?.(connection)
    }
  }

  async #admit (connection: MessageStream, options: SecureConnectionOptions): Promise<SecuredConnection> {
    await this.#hearKnock(connection, options)
    const secured = await this.#inner.secureInbound(connection, options)
    const frames = lpStream(secured.connection, { maxDataLength: LIMITS.doorBytesMax, maxBufferSize: DOOR_BUFFER_BYTES })
    const hello = decode((await frames.read(options)).subarray(), LIMITS.doorBytesMax)
    const dialer = mustBeDevice(secured.remotePeer)
    const verdict = await this.#decide(dialer, hello, within(DECIDE_MS, options.signal))
    await frames.write(encode(verdict.ok ? { ok: verdict.answer } : { no: verdict.code, proof: verdict.proof }), options)
    if (!verdict.ok) {
      this.#events.refused?.(dialer, verdict.code)
      await secured.connection.close(options)
      throw refusal(verdict.code)
    }
    return { ...secured, connection: frames.unwrap() }
  }

  /** The place among the pending connections is given back in time, whatever the policy waits for. */
  #decide (dialer: DeviceId, hello: Value, signal: AbortSignal): Promise<Verdict> {
    const busy = new Promise<Verdict>(resolve => { signal.addEventListener('abort', () => { resolve({ ok: false, code: 'busy' }) }, { once: true }) })
    return Promise.race([this.#admission.decide(dialer, hello, { signal }), busy])
  }

  /** Silence for a stranger: the socket closes, no byte of Noise is sent. */
  async #hearKnock (connection: MessageStream, options: AbortOptions): Promise<void> {
    const bytes = byteStream(connection, { maxBufferSize: DOOR_BUFFER_BYTES })
    const heard = await bytes.read({ ...options, bytes: KNOCK_BYTES })
    bytes.unwrap()
    if (!knows(this.#admission.meshSecret, this.#self, heard.subarray())) throw new Error('no knock')
    this.#events.knocked?.(connection)
  }
}

function answerOf (bytes: Uint8Array): Verdict {
  const answer = decode(bytes, LIMITS.doorBytesMax) as { ok?: Value, no?: Value, proof?: Value } | null
  if (answer === null || typeof answer !== 'object') throw new MalformedError('an answer at the door is a map')
  if (answer.ok !== undefined) return { ok: true, answer: answer.ok }
  if (isRefusalCode(answer.no)) return { ok: false, code: answer.no, ...(answer.proof === undefined ? {} : { proof: answer.proof }) }
  throw new MalformedError('an answer at the door is ok or no')
}

function mustBeDevice (peer: PeerId): DeviceId {
  const device = deviceOf(peer)
  if (device === undefined) throw new MalformedError('a device has an Ed25519 key')
  return device
}

function within (ms: number, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? AbortSignal.timeout(ms) : AbortSignal.any([signal, AbortSignal.timeout(ms)])
}
