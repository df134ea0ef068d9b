/** What `doctor` asks of the running node: facts of the network, with names; the judging is the doctor's. */
import type { DeviceId } from '@elder-node/protocol'
import type { DeviceRef, Diagnosis } from '../api.ts'
import type { Mesh } from '../ports/mesh.ts'

export interface DiagnosisComponents {
  mesh: Mesh & { localDiscovery: () => { on: boolean, found: DeviceId[] }, clocks: () => Array<{ device: DeviceId, aheadMs: number }> }
  ref: (device: DeviceId) => DeviceRef
  /** In the environment of this node, which may have another PATH than the shell of whoever asks. */
  gitWorks: () => Promise<boolean>
}

export async function diagnose ({ mesh, ref, gitWorks }: DiagnosisComponents): Promise<Diagnosis> {
  const { on, found } = mesh.localDiscovery()
  return {
    mdns: { on, found: found.map(ref) },
    connections: mesh.peers().map(({ device, path, address }) => ({ device: ref(device), path, address })),
    clocks: mesh.clocks().map(({ device, aheadMs }) => ({ device: ref(device), aheadMs })),
    // Whoever cannot be asked now is not missing.
    git: await gitWorks().catch(() => true),
  }
}
