/**
 * The gate before every protocol that libp2p answers, its own ones too: who is no member, or is none any more, opens no stream, and a protocol
 * that is not named here is not answered at all.
 *
 * It replaces the registrar's `handle`, so it must be the first of the services. (Middleware of libp2p 3.3 runs a handler several times.)
 */
import type { Connection, Stream, StreamHandler, StreamHandlerOptions } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import type { MeshId } from '@elder-node/protocol'
import type { Gate } from '../../ports/mesh.ts'
import { Buckets, type Rate } from './bucket.ts'
import type { Gatekeeper } from './gate.ts'
import { deviceOf } from './peer-id.ts'

interface Rule {
  protocol: RegExp
  role: Gate['role']
  /** Streams that one device may open. */
  rate: Rate
  /** What one stream may bring; without it the handler bounds that itself. */
  bytesMax?: number
}

/** Of the library. The protocols of this mesh, all but kad, have gates of their own behind this one. */
function rulesOf (mesh: MeshId): Rule[] {
  return [
    { protocol: /^\/ipfs\/id\/1\.0\.0$/, role: 'observer', rate: { burst: 32, perSecond: 1 }, bytesMax: 16_384 },
    { protocol: /^\/ipfs\/ping\/1\.0\.0$/, role: 'observer', rate: { burst: 8, perSecond: 1 }, bytesMax: 16_384 },
    { protocol: /^\/meshsub\/1\.[0-2]\.0$/, role: 'observer', rate: { burst: 16, perSecond: 1 } },
    { protocol: /^\/libp2p\/circuit\/relay\/0\.2\.0\/(hop|stop)$/, role: 'observer', rate: { burst: 64, perSecond: 4 } },
    // One message a stream. A look-up asks each device a few times, and a start a few dozen times.
    { protocol: new RegExp(`^/elder/${mesh}/kad/1\\.0\\.0$`), role: 'observer', rate: { burst: 256, perSecond: 16 }, bytesMax: 16_384 },
    { protocol: new RegExp(`^/elder/${mesh}/[a-z-]+/(stream/)?1$`), role: 'observer', rate: { burst: 256, perSecond: 64 } },
  ]
}

export interface GuardComponents { mesh: MeshId, gatekeeper: Pick<Gatekeeper, 'allows'>, nowMs: () => number }

/** A service of libp2p without anything to call. */
export function guard (components: GuardComponents): (node: { registrar: Registrar }) => object {
  return ({ registrar }) => {
    const rules = rulesOf(components.mesh)
    const buckets = new Buckets(components.nowMs)
    const handle = registrar.handle.bind(registrar)
    registrar.handle = async (protocol: string, handler: StreamHandler, options?: StreamHandlerOptions) => {
      const rule = rules.find(({ protocol: pattern }) => pattern.test(protocol))
      if (rule === undefined) throw new Error(`no gate is set for the protocol ${protocol}`)
      await handle(protocol, guarded(protocol, rule, handler), options)
    }

    function guarded (protocol: string, rule: Rule, handler: StreamHandler): StreamHandler {
      return (stream: Stream, connection: Connection) => {
        const device = deviceOf(connection.remotePeer)
        if (device === undefined || !components.gatekeeper.allows(device, rule)) return stream.abort(new Error(`${protocol} is for members`))
        if (!buckets.take(`${protocol} ${device}`, rule.rate)) return stream.abort(new Error(`too many streams of ${protocol}`))
        if (rule.bytesMax !== undefined) bound(stream, rule.bytesMax)
        // In the same turn: a handler must listen before the first bytes arrive.
        return handler(stream, connection)
      }
    }
    return {}
  }
}

/** Before the handler's own listener, so that what is too much is never gathered. */
function bound (stream: Stream, bytesMax: number): void {
  let bytes = 0
  stream.addEventListener('message', ({ data }) => {
    bytes += data.byteLength
    if (bytes > bytesMax) stream.abort(new Error(`more than ${bytesMax} bytes on one stream`))
  })
}

