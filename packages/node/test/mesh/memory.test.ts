/** The mesh in memory, on which tests of services stand, keeps the promises of the port. */
import { onTestFinished } from 'vitest'
import { deviceId, type DeviceId } from '@elder-node/protocol'
import type { Role } from '../../src/api.ts'
import { nodeCrypto, signerFromSeed } from '../../src/adapters/crypto.ts'
import { MemoryNetwork, type MemoryMesh } from '../support/memory-mesh.ts'
import { MemoryRoster } from '../support/memory-roster.ts'
import { meshAcceptance } from './acceptance.ts'

const crypto = nodeCrypto()
let count = 0
const newDevice = (): DeviceId => deviceId(signerFromSeed(crypto.sha256(Uint8Array.of(++count >> 8, count & 255))).publicKey)

/** What all devices believe. */
const roster = new MemoryRoster()

function join (network: MemoryNetwork, role: Role, door = roster.door()): MemoryMesh {
  const device = newDevice()
  roster.admit(device, role)
  const mesh = network.join(device, door)
  onTestFinished(() => mesh.stop())
  return mesh
}

meshAcceptance('in memory', {
  idle: () => join(new MemoryNetwork(), 'builder'),
  make: async (wanted, prepare) => {
    const network = new MemoryNetwork()
    const meshes = wanted.map(role => join(network, role))
    prepare(meshes)
    for (const mesh of meshes) await mesh.start()
    for (const [i, a] of meshes.entries()) for (const b of meshes.slice(i + 1)) await network.connect(a.self, b.self)
    return meshes
  },
  removedAtTheDoor: async () => {
    const network = new MemoryNetwork()
    const dialer = join(network, 'builder')
    const listener = join(network, 'builder', {
      ...roster.door(), decide: async other => {
        queueMicrotask(() => { roster.remove(other) })
        return { ok: true, answer: {} }
      },
    })
    await listener.start()
    await dialer.start()
    return { listener, dialer, tried: network.connect(dialer.self, listener.self).catch(() => {}) }
  },
  remove: device => { roster.remove(device) },
})
