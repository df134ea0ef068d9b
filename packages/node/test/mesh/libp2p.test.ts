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
  removedAtTheDoor: async () => {
    const mesh = new TestMesh()
    const [listener, dialer] = [mesh.node(), mesh.node()]
    const tried = Promise.withResolvers<void>()
    // After the last look at the roster that a connection gets before its streams are made.
    const role = listener.admission.role.bind(listener.admission)
    listener.admission.role = device => {
      const found = role(device)
      if (device === dialer.id && found !== undefined) queueMicrotask(() => { listener.admission.revoke(device) })
      return found
    }
    await listener.mesh.start()
    dialer.mesh.on('refused', () => { tried.resolve() })
    dialer.admission.admit(listener.id, 'builder')
    dialer.admission.learned(listener.id, listener.mesh.addresses())
    await dialer.mesh.start()
    // The first dial fails, the second one is refused at the door: then the first is over.
    return { listener: listener.mesh, dialer: dialer.mesh, tried: tried.promise }
  },
  remove: (device: DeviceId) => { for (const node of nodes) if (node.id !== device) node.admission.revoke(device) },
})
