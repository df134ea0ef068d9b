/**
 * The ways between requesters and builders: words of the claim protocol and build streams, out and in. This device is a builder
 * like any other to itself; what it says to itself does not touch the network.
 */
import { MalformedError, parseClaimWord, type ClaimWord, type DeviceId, type Value } from '@elder-node/protocol'
import type { FrameStream, Mesh } from '../../ports/mesh.ts'
import { loopback } from './loopback.ts'

/** Who answers here: the parts of this device that builds and their requesters meet. */
export interface Ends {
  resources: { hear (from: DeviceId, advert: Value): boolean }
  host: { onWord (from: DeviceId, word: ClaimWord): ClaimWord, onStream (stream: FrameStream): Promise<void> }
  builds: { onBind (from: DeviceId, word: Extract<ClaimWord, { type: 'bind' }>): ClaimWord }
}

const ASK_MS = 10_000

export class BuildLink {
  readonly #mesh: Mesh
  #ends: Ends | undefined

  constructor ({ mesh }: { mesh: Mesh }) { this.#mesh = mesh }

  /** Says who answers here. Call before the mesh starts. */
  serve (ends: Ends): void {
    this.#ends = ends
    this.#mesh.onRequest('claim', { role: 'observer' }, (from, message) => {
      if (isAdvert(message)) return takeAdvert(ends.resources, from, message.advert)
      return { ...this.#answer(from, parseClaimWord(message)) }
    })
    this.#mesh.onStream('build', { role: 'member' }, stream => ends.host.onStream(stream))
  }

  /** Carries one word and returns the answer. @throws ElderError as {@link Mesh.request} */
  async ask (to: DeviceId, word: ClaimWord): Promise<ClaimWord> {
    if (to !== this.#mesh.self) return parseClaimWord(await this.#mesh.request(to, 'claim', word, { signal: AbortSignal.timeout(ASK_MS) }))
    // In a turn of its own, as from the network: both ends may be in the middle of a step of their machines.
    await Promise.resolve()
    return this.#answer(to, word)
  }

  /** A stream to the builder. @throws ElderError as {@link Mesh.openStream} */
  async open (to: DeviceId, signal: AbortSignal): Promise<FrameStream> {
    const host = this.#ends?.host
    if (to !== this.#mesh.self || host === undefined) return await this.#mesh.openStream(to, 'build', { signal })
    const [ours, theirs] = loopback(to)
    void host.onStream(theirs).then(() => theirs.close(), (error: Error) => { theirs.abort(error) })
    return ours
  }

  /** `bind` is a builder's question to a requester; every other word is a requester's. */
  #answer (from: DeviceId, word: ClaimWord): ClaimWord {
    const { builds, host } = this.#ends as Ends
    return word.type === 'bind' ? builds.onBind(from, word) : host.onWord(from, word)
  }
}

function takeAdvert (resources: Ends['resources'], from: DeviceId, advert: Value): Value {
  if (!resources.hear(from, advert)) throw new MalformedError('not an advert')
  return {}
}

function isAdvert (message: Value): message is { type: 'advert', advert: Value } {
  return typeof message === 'object' && message !== null && 'type' in message && message['type'] === 'advert' && 'advert' in message
}
