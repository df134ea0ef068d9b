/** The mesh in memory, on which tests of services stand, keeps the promises of the port. */
import { onTestFinished } from 'vitest'
import { deviceId, type DeviceId } from '@elder-node/protocol'
import type { Role } from '../../src/api.ts'
import { nodeCrypto, signerFromSeed } from '../../src/adapters/crypto.ts'
import { MemoryNetwork, openDoor, type MemoryMesh } from '../support/memory-mesh.ts'
import { meshAcceptance } from './acceptance.ts'

const crypto = nodeCrypto()
let count = 0
const newDevice = (): DeviceId => deviceId(signerFromSeed(crypto.sha256(Uint8Array.of(++count >> 8, count & 255))).publicKey)

/** What all devices of a test believe. */
const roles = new Map<DeviceId, Role>()
const removed = new Set<(device: DeviceId) => void>()

function join (network: MemoryNetwork, role: Role): MemoryMesh {
  const device = newDevice()
  roles.set(device, role)
  const mesh = network.join(device, {
    ...openDoor(), role: other => roles.get(other),
    onRemoved: listener => {
      removed.add(listener)
      return () => { removed.delete(listener) }
    },
  })
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
    const device = newDevice()
    const listener = network.join(device, {
      ...openDoor(), role: other => roles.get(other),
      decide: async other => {
        queueMicrotask(() => { roles.delete(other) })
        return { ok: true, answer: {} }
      },
    })
    roles.set(device, 'builder')
    onTestFinished(() => listener.stop())
    await listener.start()
    await dialer.start()
    return { listener, dialer, tried: network.connect(dialer.self, device).catch(() => {}) }
  },
  remove: device => {
    roles.delete(device)
    for (const listener of removed) listener(device)
  },
})
