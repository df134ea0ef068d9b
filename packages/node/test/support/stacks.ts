/** Nodes that have only stacks and their replication, on a memory network. */
import { createMemory, MemoryFeedStore, type Memory, type Stack } from '@elder-node/crdt-stack'
import { deviceId, feedDevice, type Batch, type Cuts, type DeviceId, type MeshId, type StackKey } from '@elder-node/protocol'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import type { Logger } from '../../src/ports/log.ts'
import { Replication, type ReplicationInit } from '../../src/services/replication.ts'
import { checkRemote } from '@elder-node/crdt-stack/git'
import { Remotes } from '../../src/services/remotes.ts'
import { Settings } from '../../src/services/settings.ts'
import { Stacks, type ArchiveRules } from '../../src/services/stacks.ts'
import { MemoryFiles } from './memory-files.ts'
import { MemoryNetwork, type MemoryMesh } from './memory-mesh.ts'

export const crypto: ReturnType<typeof nodeCrypto> = nodeCrypto()

/** What of a device survives its process. */
export interface Disk { seed: number, files: MemoryFiles, feeds: Map<StackKey, Memory> }

export interface StackNode { device: DeviceId, mesh: MemoryMesh, stacks: Stacks, replication: Replication, settings: Settings, remotes: Remotes, disk: Disk }

export interface StackNodeInit extends ReplicationInit {
  disk?: Disk
  /** Its key is made of this, when it has no disk yet. @default the next number */
  seed?: number
  /** Devices that may write. @default every device */
  writers?: (device: DeviceId) => boolean
  /** What counts of evicted devices. @default nobody was evicted */
  cuts?: () => Cuts
  /** Never hears nor sends gossip. @default false */
  deaf?: boolean
}

export class StackMesh {
  readonly network = new MemoryNetwork()
  readonly nodes: StackNode[] = []
  /** Devices that are no members any more. */
  readonly evicted = new Set<DeviceId>()
  #seed = 0

  async node ({ disk, seed: given, writers = () => true, cuts = () => new Map(), deaf = false, ...init }: StackNodeInit = {}): Promise<StackNode> {
    const { seed, files, feeds } = disk ?? { seed: given ?? ++this.#seed, files: new MemoryFiles(), feeds: new Map<StackKey, Memory>() }
    const signer = signerFromSeed(crypto.sha256(Uint8Array.of(seed)))
    const device = deviceId(signer.publicKey)
    const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
    const openStore = (key: StackKey): MemoryFeedStore => {
      const memory = feeds.get(key) ?? createMemory()
      feeds.set(key, memory)
      return new MemoryFeedStore(memory)
    }
    const stacks = await Stacks.open({
      crypto, signer, clock, random: randomBytes, files, openStore, dropStore: key => { feeds.delete(key) },
      mayWrite: writers, cuts, verifyArchive, log: silent,
    })
    const mesh = this.network.join(device)
    if (deaf) mesh.broadcast = async () => 0
    const replication = new Replication({ mesh, stacks, crypto, clock, random: randomBytes, log: silent }, { intervalMs: 300, tickMs: 20, retryMs: 50, ...init })
    const settings = new Settings({ stacks, crypto })
    const remotes = new Remotes({ settings, files, clock, self: device, isEvicted: of => this.evicted.has(of), nameOf: of => of.slice(0, 8), look: checkRemote })
    const node = { device, mesh, stacks, replication, settings, remotes, disk: { seed, files, feeds } }
    await mesh.start()
    replication.start()
    this.nodes.push(node)
    return node
  }

  async connectAll (): Promise<void> {
    for (const a of this.nodes) for (const b of this.nodes) if (a.device < b.device) await this.network.connect(a.device, b.device)
  }

  cut (a: StackNode, b: StackNode): void { this.network.disconnect(a.device, b.device) }

  async stop (node?: StackNode): Promise<void> {
    for (const one of node === undefined ? this.nodes.splice(0) : [node]) {
      one.replication.stop()
      await one.mesh.stop()
      await one.stacks.close()
    }
  }
}

/** For tests: the records name the mesh and its writers. */
export function verifyArchive (records: Uint8Array[], mesh: MeshId): ArchiveRules {
  const said = new Set(records.map(record => Buffer.from(record).toString()))
  if (!said.has(mesh)) throw new Error('these are not the records of that mesh')
  const writers = [...said].filter(text => text !== mesh)
  return { records: rosterOf(mesh, writers as DeviceId[]), mayWrite: device => said.has(device), cuts: () => new Map() }
}

export function rosterOf (mesh: string, writers: DeviceId[]): Uint8Array[] {
  return [mesh, ...writers].map(text => new Uint8Array(Buffer.from(text)))
}

export function writersOf (node: StackNode, key: StackKey): DeviceId[] {
  return (node.stacks.held(key)?.stack.vector() ?? []).map(({ feed }) => feedDevice(feed))
}

/** The stack of that name, which must be there. */
export function stackOf ({ stacks }: Pick<StackNode, 'stacks'>, name: string): Stack {
  const held = stacks.named(name)
  if (held === undefined) throw new Error(`there is no stack ${name}`)
  return held.stack
}

/** Everything that a stack holds, as it is sent to a device that holds nothing. */
export function batchesOf (stack: Stack): Batch[] {
  return stack.vector().flatMap(head => [...stack.path({ ...head, from: 1, to: head.seq })])
}

export const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
