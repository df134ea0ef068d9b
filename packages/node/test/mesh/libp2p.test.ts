/** The mesh over libp2p, on loopback TCP, keeps the promises of the port. */
import type { DeviceId } from '@elder-node/protocol'
import { startAll, TestMesh, type TestNode } from '../libp2p/harness.ts'
import { meshAcceptance } from './acceptance.ts'

let nodes: TestNode[] = []

meshAcceptance('over libp2p', {
  idle: () => new TestMesh().node().mesh,
  make: async (roles, prepare) => {
    const mesh = new TestMesh()
    nodes = roles.map(role => mesh.node({ role }))
    prepare(nodes.map(node => node.mesh))
    await startAll(nodes)
    return nodes.map(node => node.mesh)
  },
  remove: (device: DeviceId) => { for (const node of nodes) if (node.id !== device) node.admission.revoke(device) },
})
