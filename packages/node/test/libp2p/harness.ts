/** Real nodes in one process over loopback TCP, admitted by a roster that lives in memory. */
import { createHmac, randomBytes } from 'node:crypto'
import { onTestFinished } from 'vitest'
import { deviceOfAddress, ElderError, equalBytes, toBase32 } from '@elder-node/protocol'
import type { DeviceId, MeshId, Value } from '@elder-node/protocol'
import { createMesh } from '../../src/adapters/libp2p/mesh.ts'
import type { Libp2pMesh, Libp2pMeshInit } from '../../src/adapters/libp2p/mesh.ts'
import { deviceOfSeed } from '../../src/adapters/libp2p/peer-id.ts'
import type { Role } from '../../src/api.ts'
import type { Admission, RefusalCode, Verdict } from '../../src/ports/admission.ts'
import type { Clock } from '../../src/ports/host.ts'
import type { Logger } from '../../src/ports/log.ts'

const quiet: Logger = { debug () {}, info () {}, warn () {}, error () {} }
const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }

/** What one device believes. A record is a MAC of the mesh over the device: enough to tell a member from a stranger. */
export class FakeAdmission implements Admission {
  readonly meshId: MeshId
  readonly meshSecret: Uint8Array
  readonly self: DeviceId
  readonly #roles = new Map<DeviceId, Role>()
  readonly #revoked = new Set<DeviceId>()
  readonly #addresses = new Map<DeviceId, string[]>()
  readonly #removed = new Set<(device: DeviceId, left: boolean) => void>()
  readonly #invited: Map<DeviceId, string[]>
  readonly #authority: Uint8Array
  /** What this device was told at doors that stayed shut. */
  readonly told: Array<{ code: RefusalCode, proof: Value | undefined }> = []
  /** What this device shows at a door, when it is not its own record. */
  show: Value | undefined

  /** `ticket`: addresses that a joiner knows before it knows any member. */
  constructor (mesh: TestMesh, self: DeviceId, ticket: string[] = []) {
    this.#invited = Map.groupBy(ticket, address => deviceOfAddress(address) as DeviceId)
    this.meshId = mesh.id
    this.meshSecret = mesh.secret
    this.#authority = mesh.authority
    this.self = self
  }

  record (device: DeviceId): Uint8Array { return createHmac('sha256', this.#authority).update(device).digest() }
  admit (device: DeviceId, role: Role): void { this.#roles.set(device, role) }
  role (device: DeviceId): Role | undefined { return this.isRevoked(device) ? undefined : this.#roles.get(device) }
  isRevoked (device: DeviceId): boolean { return this.#revoked.has(device) }
  hello (): Value { return this.show ?? { proof: this.record(this.self) } }

  decide (dialer: DeviceId, hello: Value): Promise<Verdict> {
    const code = this.#judge(dialer, hello)
    return Promise.resolve(code === undefined ? { ok: true, answer: { proof: this.record(this.self) } } : { ok: false, code, ...(code === 'revoked' ? { proof: 'the revocation' } : {}) })
  }

  refused (_listener: DeviceId, code: RefusalCode, proof: Value | undefined): void { this.told.push({ code, proof }) }

  greeted (listener: DeviceId, answer: Value): void {
    if (this.#judge(listener, answer) !== undefined) throw new ElderError('PROOF', 'the listener is no member')
  }

  members (): Array<{ device: DeviceId, addresses: string[] }> {
    const known = [...this.#roles.keys()].filter(device => device !== this.self && !this.isRevoked(device))
    return [...new Set([...known, ...this.#invited.keys()])].map(device => ({ device, addresses: [...new Set([...this.#addresses.get(device) ?? [], ...this.#invited.get(device) ?? []])] }))
  }

  learned (device: DeviceId, addresses: string[]): void {
    const good = addresses.filter(address => deviceOfAddress(address) === device)
    this.#addresses.set(device, [...new Set([...good, ...this.#addresses.get(device) ?? []])])
  }

  onRemoved (listener: (device: DeviceId, left: boolean) => void): () => void {
    this.#removed.add(listener)
    return () => { this.#removed.delete(listener) }
  }

  revoke (device: DeviceId): void {
    if (this.isRevoked(device)) return
    this.#revoked.add(device)
    for (const listener of this.#removed) listener(device, false)
  }

  #judge (device: DeviceId, shown: Value): RefusalCode | undefined {
    const { proof } = (shown ?? {}) as { proof?: Value }
    if (this.isRevoked(device)) return 'revoked'
    if (!(proof instanceof Uint8Array) || !equalBytes(this.record(device), proof)) return 'not-a-member'
    if (!this.#roles.has(device)) this.#roles.set(device, 'builder')
    return undefined
  }
}

export interface TestNode { mesh: Libp2pMesh, admission: FakeAdmission, id: DeviceId, refused: RefusalCode[] }

export class TestMesh {
  readonly id: MeshId = toBase32(randomBytes(16)) as MeshId
  readonly secret: Uint8Array = randomBytes(32)
  readonly authority: Uint8Array = randomBytes(32)

  /** Not started. Stopped when the test ends. `ticket`: the addresses of its ticket. */
  node ({ ticket, ...init }: Libp2pMeshInit & { seed?: Uint8Array, role?: Role, ticket?: string[] } = {}): TestNode {
    const seed = init.seed ?? randomBytes(32)
    const id = deviceOfSeed(seed)
    const admission = new FakeAdmission(this, id, ticket)
    admission.admit(id, init.role ?? 'builder')
    const mesh = createMesh({ seed, admission, clock, log: quiet }, { listen: ['/ip4/127.0.0.1/tcp/0'], ...init })
    const refused: RefusalCode[] = []
    mesh.on('refused', (_device, code) => { refused.push(code) })
    onTestFinished(() => mesh.stop())
    return { mesh, admission, id, refused }
  }
}

/** Makes each know all others' addresses, as a roster would; the supervisors do the rest. */
export function introduce (nodes: TestNode[]): void {
  for (const node of nodes) {
    for (const other of nodes) {
      if (other === node) continue
      node.admission.admit(other.id, other.admission.role(other.id) ?? 'builder')
      node.admission.learned(other.id, other.mesh.addresses())
    }
  }
}

export async function startAll (nodes: TestNode[]): Promise<void> {
  for (const node of nodes) await node.mesh.start()
  introduce(nodes)
  await until(() => nodes.every(node => node.mesh.peers().length === nodes.length - 1))
}

/** Waits for a condition, not for a time. */
export async function until (condition: () => boolean, ms = 30_000): Promise<void> {
  const end = performance.now() + ms
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not so within ${ms} ms: ${condition.toString()}`)
    await new Promise(resolve => { setTimeout(resolve, 10) })
  }
}

export function soon (ms = 30_000): { signal: AbortSignal } { return { signal: AbortSignal.timeout(ms) } }
