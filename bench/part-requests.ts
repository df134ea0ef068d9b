/** The request plane alone: two meshes over one loopback connection, both ends in this process. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { toBase32, type DeviceId, type MeshId, type Value } from '@elder-node/protocol'
import { createMesh, type Libp2pMesh } from '../packages/node/src/adapters/libp2p/mesh.ts'
import type { Admission } from '../packages/node/src/ports/admission.ts'
import type { Report } from './report.ts'

const PARALLEL = 16
const quiet = { debug () {}, info () {}, warn () {}, error () {} }
const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }

/** Everybody with the secret belongs here: the door is not what is measured. */
function openDoor (meshId: MeshId, meshSecret: Uint8Array, others: () => Array<{ device: DeviceId, addresses: string[] }>): Admission {
  return {
    meshId, meshSecret, role: () => 'builder', isRevoked: () => false, hello: () => null, decide: async () => ({ ok: true, answer: null }),
    greeted () {}, refused () {}, members: others, learned () {}, onRemoved: () => () => {},
  }
}

export async function measureRequests (report: Report, { count }: { count: number }): Promise<void> {
  const id = toBase32(randomBytes(16)) as MeshId
  const secret = randomBytes(32)
  const meshes: Libp2pMesh[] = []
  const make = (): Libp2pMesh => {
    const mesh: Libp2pMesh = createMesh({
      seed: randomBytes(32), clock, log: quiet,
      admission: openDoor(id, secret, () => meshes.filter(other => other !== mesh).map(other => ({ device: other.self, addresses: other.addresses() }))),
    }, { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false })
    mesh.onRequest('claim', { role: 'observer' }, (_from, message): Value => message)
    return mesh
  }
  try {
    const [asker, answerer] = [make(), make()]
    await asker.start()
    await answerer.start()
    meshes.push(asker, answerer)
    while (asker.peers().length === 0) await delay(10)
    const ask = (): Promise<Value> => asker.request(answerer.self, 'claim', { type: 'claim', of: 'a usual size, as a claim has it' }, { signal: AbortSignal.timeout(30_000) })
    for (let i = 0; i < count / 10; i++) await ask()
    const singly: number[] = []
    for (let i = 0; i < count / 4; i++) {
      const from = performance.now()
      await ask()
      singly.push(performance.now() - from)
    }
    const from = performance.now()
    let left = count
    await Promise.all(Array.from({ length: PARALLEL }, async () => { while (left-- > 0) await ask() }))
    report.add({ id: 'request', what: 'one request and its answer, both ends in one process', unit: 'ms', devices: 2, ours: singly })
    report.add({ id: 'request-rate', what: `requests, ${PARALLEL} at once, both ends in one process`, unit: '1/s', devices: 2, ours: [count / (performance.now() - from) * 1000] })
  } finally {
    await Promise.all(meshes.map(mesh => mesh.stop()))
  }
}
