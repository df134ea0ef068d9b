/** The membership of a node keeps the promises of the port, and so do the doubles of it. */
import type { DeviceId } from '@elder-node/protocol'
import { deviceOfSeed } from '../../src/adapters/libp2p/peer-id.ts'
import type { Membership } from '../../src/services/membership.ts'
import { FakeAdmission, TestMesh as Network } from '../libp2p/harness.ts'
import { TestMesh, type TestNode } from '../support/membership.ts'
import { MemoryRoster } from '../support/memory-roster.ts'
import { admissionAcceptance, doorAcceptance } from './admission.ts'

const device = (n: number): DeviceId => deviceOfSeed(new Uint8Array(32).fill(n))
const [HOST, MEMBER, STRANGER] = [device(1), device(2), device(3)]

admissionAcceptance('membership', {
  make: async () => {
    const mesh = new TestMesh()
    const party = (node: TestNode): { id: DeviceId, door: Membership } => ({ id: node.device, door: node.membership })
    const host = await mesh.node('host')
    const [member, stranger] = [await mesh.joined(host, 'member'), await new TestMesh().node('stranger', { seed: 9 })]
    const remove = async (device: DeviceId): Promise<void> => { await host.membership.evict(device) }
    return { host: party(host), member: party(member), stranger: party(stranger), remove }
  },
  joiner: async ({ host }, addresses) => {
    const { ticket } = host.door.invite({ addresses })
    return (await new TestMesh().node('joiner', { seed: 8, ticket })).membership
  },
})

admissionAcceptance('the double that tests of the transport use', {
  make: async () => {
    const mesh = new Network()
    const party = (id: DeviceId, of: Network): { id: DeviceId, door: FakeAdmission } =>
      ({ id, door: new FakeAdmission(of, id) })
    const [host, member, stranger] = [party(HOST, mesh), party(MEMBER, mesh), party(STRANGER, new Network())]
    host.door.admit(MEMBER, 'builder')
    member.door.admit(HOST, 'builder')
    return { host, member, stranger, remove: async device => { host.door.revoke(device) } }
  },
  joiner: async (_place, addresses) => new FakeAdmission(new Network(), device(8), addresses),
})

doorAcceptance('the double that tests of services use', {
  make: async () => {
    const roster = new MemoryRoster()
    for (const id of [HOST, MEMBER]) roster.admit(id, 'builder')
    const [host, member] = [{ id: HOST, door: roster.door() }, { id: MEMBER, door: roster.door() }]
    const stranger = { id: STRANGER, door: new MemoryRoster('admin').door() }
    return { host, member, stranger, remove: async device => { roster.remove(device) } }
  },
})
