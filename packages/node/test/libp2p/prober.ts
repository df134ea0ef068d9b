/** Devices that keep to no rule of ours: a bare libp2p that gets through the handshake, and does then what it likes. */
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { Connection, ConnectionEncrypter, Libp2p, MessageStream, SecureConnectionOptions } from '@libp2p/interface'
import type { NoiseComponents } from '@libp2p/noise'
import { onTestFinished } from 'vitest'
import { encode } from '@elder-node/protocol'
import { DOOR_PROTOCOL } from '../../src/adapters/libp2p/door.ts'
import { knock } from '../../src/adapters/libp2p/knock.ts'
import { deviceOf } from '../../src/adapters/libp2p/peer-id.ts'
import { requestProtocol } from '../../src/adapters/libp2p/services.ts'
import { soon } from './harness.ts'
import type { TestMesh, TestNode } from './harness.ts'

/** What a prober does after the handshake of Noise: the hostile half of the door. */
export type Hostile = (secured: MessageStream) => Promise<void>

/** A libp2p that walks up to the door, knocks with the given secret and then does what it likes. */
export async function prober (listener: TestNode, secret: Uint8Array, hostile: Hostile): Promise<Libp2p> {
  const encrypter = (components: NoiseComponents): ConnectionEncrypter => {
    const inner = noise()(components)
    return {
      protocol: DOOR_PROTOCOL,
      secureInbound: (connection, options) => inner.secureInbound(connection, options),
      secureOutbound: async (connection: MessageStream, options?: SecureConnectionOptions) => {
        connection.send(knock(secret, listener.id))
        const secured = await inner.secureOutbound(connection, options)
        await hostile(secured.connection)
        return secured
      },
    }
  }
  const node = await createLibp2p({ transports: [tcp()], streamMuxers: [yamux()], connectionEncrypters: [encrypter], connectionMonitor: { enabled: false } })
  onTestFinished(() => node.stop())
  return node
}

/** The same, with the record of a member: it comes in, and lets the hello wait, so that its connection lives on. */
export async function memberProber (listener: TestNode, mesh: TestMesh): Promise<Libp2p> {
  const bad = await prober(listener, mesh.secret, async secured => {
    const frames = lpStream(secured)
    await frames.write(encode({ proof: listener.admission.record(idOf(bad)) }))
    await frames.read()
    frames.unwrap()
  })
  await bad.handle(requestProtocol(mesh.id, 'hello'), () => {})
  return bad
}

export function dial (from: Libp2p, to: TestNode): Promise<Connection> {
  return from.dial(to.mesh.addresses().map(address => multiaddr(address)), soon())
}

export function idOf (node: Libp2p): TestNode['id'] {
  const device = deviceOf(node.peerId)
  if (device === undefined) throw new Error('a prober has an Ed25519 key')
  return device
}
