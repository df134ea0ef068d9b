/**
 * The heads of a graph. A *head* is a record without a child; a *bare* head is named by no other record. Per device the vector
 * holds every bare head, filled up with its highest named heads as hints.
 */
import { LIMITS, risingPlaces, type DeviceId, type VectorEntry } from '@elder-node/protocol'
import { hashOf, higherFirst, type Node } from './node.ts'

export class Heads {
  readonly #byDevice = new Map<DeviceId, Set<Node>>()
  /** @default LIMITS.headsPerDeviceMax */
  readonly #max: number

  constructor (max: number = LIMITS.headsPerDeviceMax) { this.#max = max }

  add (node: Node): void {
    if (node.parent !== undefined && node.parent.children++ === 0) this.#byDevice.get(node.device)?.delete(node.parent)
    for (const dep of node.deps) dep.named++
    this.#of(node.device).add(node)
  }

  /** `node` must be a head. */
  remove (node: Node): void {
    this.#of(node.device).delete(node)
    for (const dep of node.deps) dep.named--
    if (node.parent !== undefined && --node.parent.children === 0) this.#of(node.device).add(node.parent)
  }

  devices (): Iterable<DeviceId> { return this.#byDevice.keys() }
  of (device: DeviceId): ReadonlySet<Node> { return this.#byDevice.get(device) ?? NONE }
  * all (): Generator<Node> { for (const heads of this.#byDevice.values()) yield * heads }
  * bare (): Generator<Node> { for (const node of this.all()) if (node.named === 0) yield node }

  bareOf (device: DeviceId): Node[] { return [...this.of(device)].filter(node => node.named === 0) }

  vector (): VectorEntry[] {
    const out: Node[] = []
    for (const heads of this.#byDevice.values()) {
      const order = [...heads].sort((a, b) => Number(b.named === 0) - Number(a.named === 0) || higherFirst(a, b))
      out.push(...order.filter((node, i) => node.named === 0 || i < this.#max))
    }
    return risingPlaces(out.map(({ feed, seq, name }) => ({ feed, seq, hash: hashOf(name) })))
  }

  #of (device: DeviceId): Set<Node> {
    const known = this.#byDevice.get(device) ?? new Set<Node>()
    this.#byDevice.set(device, known)
    return known
  }
}

const NONE: ReadonlySet<Node> = new Set()
