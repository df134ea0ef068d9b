/** How the devices of the town dial each other: how often, how many at once, and whether they find together. */
import type { DeviceId } from '@elder-node/protocol'
import type { RefusalCode } from '../../../packages/node/src/ports/admission.ts'
import type { VirtualNetwork } from '../virtual/network.ts'
import type { Life, VirtualTime } from '../virtual/time.ts'
import type { Device } from './town.ts'

const DIALS_AT_ONCE = 2
/** One list of addresses may take so long. */
const DIAL_MS = 15_000
const WINDOW_MS = 60_000
/** After 0.3 s, 0.6 s and so on. */
const DIALS_MAX = 9
const REVOKED_MS = 1_700_000
/** The longest wait between two dials, and the dials to others that come before. */
const APART_MS = 120_000

interface Dialling { underWay: Map<DeviceId, number>, begunMs: Map<DeviceId, number[]>, revokedMs: Map<DeviceId, number> }

export class DialsWatch {
  readonly #time: VirtualTime
  readonly #network: VirtualNetwork
  readonly #violate: (what: string) => void
  readonly #lives = new Map<Life, Dialling>()
  /** Since when two could talk and did not. */
  readonly #apartMs = new Map<string, number>()

  constructor (time: VirtualTime, network: VirtualNetwork, violate: (what: string) => void) {
    this.#time = time
    this.#network = network
    this.#violate = violate
  }

  async during (device: Device, life: Life, to: DeviceId, dial: () => Promise<void>): Promise<void> {
    const dialling = this.#of(life)
    this.#begins(device, dialling, to)
    dialling.underWay.set(to, this.#time.now)
    try {
      await dial()
    } finally {
      dialling.underWay.delete(to)
    }
  }

  refused (life: Life, by: DeviceId, code: RefusalCode): void { if (code === 'revoked') this.#of(life).revokedMs.set(by, this.#time.now) }

  /** Somebody came or went: what failed before may be tried at once. */
  changed (life: Life): void {
    this.#of(life).begunMs.clear()
  }

  /** Whoever lets a device in takes back that it is out. */
  admitted (life: Life, by: DeviceId): void { this.#of(life).revokedMs.delete(by) }

  look (up: readonly Device[]): void {
    for (const { life } of up) if (life !== undefined) this.#lookAtDials(life)
    for (const device of up) for (const other of up) if (device.id < other.id) this.#lookAtPair(device, other)
  }

  #of (life: Life): Dialling {
    const known = this.#lives.get(life) ?? { underWay: new Map(), begunMs: new Map(), revokedMs: new Map() }
    this.#lives.set(life, known)
    return known
  }

  #begins (device: Device, { underWay, begunMs, revokedMs }: Dialling, to: DeviceId): void {
    const { now } = this.#time
    const begun = [...begunMs.get(to) ?? [], now].filter(ms => ms > now - WINDOW_MS)
    begunMs.set(to, begun)
    if (underWay.size >= DIALS_AT_ONCE) this.#violate('a device dialled more than two at once')
    if (underWay.has(to) || this.#network.memory.linked(device.id, to)) {
      this.#violate('a device dialled one that it was connected to')
    }
    if (begun.length > DIALS_MAX) this.#violate('a device that does not answer was dialled again and again')
    if (now - (revokedMs.get(to) ?? -Infinity) < REVOKED_MS) {
      this.#violate('a device that was told that it is out knocked again')
    }
  }

  #lookAtDials (life: Life): void {
    for (const ms of this.#of(life).underWay.values()) {
      if (this.#time.now - Math.max(ms, life.stalledUntilMs) > DIAL_MS + 1_000) this.#violate('a dial did not end')
    }
  }

  #lookAtPair (a: Device, b: Device): void {
    const { now } = this.#time
    const pair = `${a.name} ${a.life?.bootMs} ${b.name} ${b.life?.bootMs}`
    const isAwake = [a, b].every(({ life }) => life !== undefined && now > life.stalledUntilMs)
    const isLinked = this.#network.memory.linked(a.id, b.id)
    if (!isAwake || isLinked || this.#network.parted(a.id, b.id) || !knows(a, b) || !knows(b, a)) this.#apartMs.delete(pair)
    else if (!this.#apartMs.has(pair)) this.#apartMs.set(pair, now)
    if (now - (this.#apartMs.get(pair) ?? now) > APART_MS) this.#violate('members that can talk stayed apart')
  }
}

/** As a member whose address it has. */
function knows ({ membership }: Device, { id }: Device): boolean {
  if (membership?.isRevoked(id) !== false) return false
  return membership.members().some(({ device, addresses }) => device === id && addresses.length > 0)
}
