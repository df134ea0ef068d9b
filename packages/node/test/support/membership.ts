/** Nodes that have only membership, on a memory network: found, join, evict. */
import { deviceId, type DeviceId, type StackId } from '@elder-node/protocol'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import type { Membership } from '../../src/services/membership.ts'
import { openMembership, type OpenInit } from '../../src/services/membership/open-membership.ts'
import { HandClock } from './hand-clock.ts'
import { MemoryFiles } from './memory-files.ts'
import { MemoryNetwork, type MemoryMesh } from './memory-mesh.ts'

export interface TestNode {
  device: DeviceId
  membership: Membership
  mesh: MemoryMesh
  files: MemoryFiles
  recoverySecret: string | null
  /** What this node holds of other devices' feeds. */
  heads: Map<DeviceId, Map<StackId, Uint8Array[]>>
  /** The same beyond the cuts. */
  beyond: Map<DeviceId, Map<StackId, Uint8Array[]>>
}

export class TestMesh {
  readonly network = new MemoryNetwork()
  readonly clock = new HandClock()
  #seed = 0

  /** `seed` and `files` of an earlier node make it the same device, restarted. */
  async node (name: string, init: Partial<OpenInit> & { seed?: number, files?: MemoryFiles } = {}): Promise<TestNode> {
    const { seed = ++this.#seed, files = new MemoryFiles(), ...rest } = init
    const crypto = nodeCrypto()
    const signer = signerFromSeed(crypto.sha256(Uint8Array.of(seed)))
    const device = deviceId(signer.publicKey)
    const { membership, recoverySecret } = openMembership({ crypto, signer, signerFromSeed, clock: this.clock, random: randomBytes, files }, { deviceName: name, ...rest })
    const mesh = this.network.join(device, membership)
    membership.attach(mesh)
    const heads: TestNode['heads'] = new Map()
    const beyond: TestNode['beyond'] = new Map()
    membership.serveHeads(mesh, {
      headsOf: async of => heads.get(of) ?? new Map(), headsBeyond: async of => beyond.get(of) ?? new Map(),
    })
    await mesh.start()
    return { device, membership, mesh, files, recoverySecret, heads, beyond }
  }

  /** Invites on `host`, joins, and waits until it is a member. */
  async joined (host: TestNode, name: string, init: { via?: TestNode, role?: 'observer' | 'member' | 'builder' | 'admin', seed?: number } = {}): Promise<TestNode> {
    const { ticket } = host.membership.invite(init.role === undefined ? {} : { role: init.role })
    const node = await this.node(name, { ticket, ...(init.seed !== undefined ? { seed: init.seed } : {}) })
    await this.connect(node, init.via ?? host)
    await node.membership.joined({ signal: AbortSignal.timeout(5000) })
    return node
  }

  connect (from: TestNode, to: TestNode): Promise<void> { return this.network.connect(from.device, to.device) }
}
