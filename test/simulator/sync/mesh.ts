/** A mesh of simulated devices with a workload and faults, all drawn from one seed, and what must hold at every moment of it. */
import { codeOf, feedDevice, toBase32, toHex, type AntiEntropyInit, type Cuts, type DeviceId } from '@elder-node/protocol'
import { World, type Links } from '../world.ts'
import { SHIPPED, SimDevice, type Parts, type SimMessage } from './device.ts'
import type { SimDisk } from './disk.ts'

export interface MeshInit { devices?: number, stacks?: number, links?: Links, parts?: Partial<Parts>, antiEntropy?: AntiEntropyInit, gossip?: boolean }

export const CLEAN: Links = { loss: 0, duplicate: 0, delayMs: [5, 60] }
export const ROUGH: Links = { loss: 0.05, duplicate: 0.05, delayMs: [5, 400] }

/** A write that somebody was told is durable, by the title of its entry. */
interface Acknowledged { title: string, stack: string, by: SimDevice }

export class SimMesh {
  readonly world: World<SimMessage>
  readonly devices: SimDevice[]
  readonly stacks: string[]
  acknowledged: Acknowledged[] = []
  /** Titles of writes that were told as failed. */
  readonly failed = new Set<string>()
  /** Devices whose disk went back in time: a fork is theirs to have. */
  readonly restored = new Set<SimDevice>()
  readonly #evicted = new Set<DeviceId>()
  /** What counts of them. */
  #cuts: Cuts = new Map()
  /** Of an evicted device, and brought back: every member must show it. */
  #kept: Acknowledged[] = []
  readonly #errors: unknown[] = []
  /** What every device of all times showed for equal feeds. */
  readonly #shown = new Map<string, string>()
  readonly #backups = new Map<SimDevice, Map<string, SimDisk>>()
  #down = new Set<SimDevice>()
  /** Those that have read their disks and may be met. */
  readonly #up = new Set<SimDevice>()
  #groups: SimDevice[][]
  #written = 0

  constructor (seed: number, { devices = 4, stacks = 3, links = ROUGH, parts = {}, antiEntropy = {}, gossip = true }: MeshInit = {}) {
    this.world = new World(seed, links)
    const names = new Map<DeviceId, string>()
    const init = { antiEntropy, gossip, names, peers: () => this.devices.map(({ name }) => name), onError: (error: unknown) => { this.#errors.push(error) } }
    this.devices = Array.from({ length: devices }, (_, i) => new SimDevice(`d${i}`, this.world, { ...SHIPPED, ...parts }, init))
    this.stacks = Array.from({ length: stacks }, (_, i) => `stack-${i}`)
    this.#groups = [this.devices]
    for (const device of this.devices) this.#spawn(device)
  }

  // ---- workload

  add (device: SimDevice, stack: string, bodyChars = 20): void {
    if (this.#down.has(device)) return
    const title = `${device.name} ${this.#written++}`
    device.write(stack, async opened => {
      await opened.add({ kind: 'note', title, body: 'x'.repeat(bodyChars) }).then(() => { this.acknowledged.push({ title, stack, by: device }) }, () => { this.failed.add(title) })
    })
  }

  /** Changes the title's tags or the body of some entry; what others wrote meanwhile stays beside it. */
  edit (device: SimDevice, stack: string): void {
    if (this.#down.has(device)) return
    device.write(stack, async opened => {
      const entries = opened.entries()
      const entry = entries[Math.floor(this.world.random() * entries.length)]
      if (entry === undefined) return
      const at = Math.floor(this.world.random() * (entry.body.length + 1))
      const patch = this.world.random() < 0.4 ? { tags: [`t${this.#written++}`] } : { body: `${entry.body.slice(0, at)}${this.#written++}${entry.body.slice(at + 3)}` }
      await opened.edit(entry.id, patch, {}, { overwrite: true }).catch((error: unknown) => { if (codeOf(error) !== 'DISK_FULL') throw error })
    })
  }

  somewhere (): { device: SimDevice, stack: string } { return { device: this.pick(this.devices), stack: this.pick(this.stacks) } }
  pick<T> (list: readonly T[]): T { return list[Math.floor(this.world.random() * list.length)] as T }

  /** Has it read its disks, and is it running? */
  isUp (device: SimDevice): boolean { return this.#up.has(device) }

  writeAnywhere (): void {
    const { device, stack } = this.somewhere()
    if (this.world.random() < 0.5) this.add(device, stack, this.world.random() < 0.05 ? 20_000 : 20)
    else this.edit(device, stack)
  }

  // ---- faults

  partition (...groups: SimDevice[][]): void {
    this.world.partition(groups.map(group => group.map(({ name }) => name)))
    for (const a of this.devices) for (const b of this.devices) if (this.#together(a, b) && !groups.some(group => group.includes(a) && group.includes(b))) a.gone(b)
    this.#groups = groups
  }

  heal (): void {
    const apart = this.devices.flatMap(a => this.devices.filter(b => !this.#together(a, b)).map(b => [a, b] as const))
    this.world.heal()
    this.#groups = [this.devices]
    for (const [a, b] of apart) if (this.#up.has(a) && this.#up.has(b)) a.admitted(b)
  }

  crash (device: SimDevice): void {
    if (this.#down.has(device)) return
    this.#down.add(device)
    this.#up.delete(device)
    this.world.crash(device.name)
    device.end()
    for (const disk of device.replica.disks.values()) disk.crash(this.world.random)
    for (const other of this.#up) other.gone(device)
  }

  restart (device: SimDevice): void {
    if (!this.#down.has(device)) return
    this.#down.delete(device)
    this.#spawn(device)
  }

  /** Ends cleanly, and starts again. */
  bounce (device: SimDevice): void {
    if (this.#down.has(device)) return
    void device.replica.close().then(() => {
      this.crash(device)
      this.restart(device)
    })
  }

  backup (device: SimDevice): void { this.#backups.set(device, new Map([...device.replica.disks].map(([name, disk]) => [name, disk.copy()]))) }

  /** The disk is what it was at the backup; nobody notices (`isNoticed`: another inode or time tells). */
  restoreBackup (device: SimDevice, { isNoticed }: { isNoticed: boolean }): void {
    const backup = this.#backups.get(device)
    if (backup === undefined) return
    this.crash(device)
    device.replica.disks.clear()
    for (const [name, disk] of backup) {
      const copy = disk.copy()
      if (isNoticed) copy.cleanEnd = undefined
      device.replica.disks.set(name, copy)
    }
    this.restored.add(device)
    this.#forgetLost()
    this.restart(device)
  }

  /** The disk said that it had synced, and had not: the last batches are gone after a crash, and nothing shows it. */
  lie (device: SimDevice): void {
    this.crash(device)
    for (const disk of device.replica.disks.values()) disk.durable = disk.durable.slice(0, -1 - Math.floor(this.world.random() * 12))
    this.#forgetLost()
    this.restart(device)
  }

  /** What only this disk held is gone, and nobody can bring it back. */
  #forgetLost (): void {
    this.acknowledged = this.acknowledged.filter(({ title, stack }) => this.devices.some(other => this.#holds(other, stack, title)))
  }

  fill (device: SimDevice, isFull: boolean): void {
    for (const disk of device.replica.disks.values()) disk.isFull = isFull
  }

  /** One stored batch does not read any more. Only where others hold all that this device acknowledged. */
  damage (device: SimDevice): void {
    this.crash(device)
    for (const disk of device.replica.disks.values()) if (disk.durable.length > 0) disk.damaged.add(this.pick(disk.durable))
    this.restart(device)
  }

  /** Everybody hears of it after a while of his own; the evicted device never does, and goes on. */
  evict (victim: SimDevice, by: SimDevice, undo = false): void {
    const keep = new Map(this.stacks.map(stack => [stack, new Set((by.replica.get(stack)?.headsOf(victim.replica.device) ?? []).map(toHex))]))
    const all = new Set([...keep.values()].flatMap(set => [...set]))
    this.#evicted.add(victim.replica.device)
    this.#cut(victim, new Map([[victim.replica.device, { keep: all, undo }]]))
  }

  /** A further cut names what the members have of it beyond the first, in the state or only on their disks. */
  keep (victim: SimDevice): void {
    const { device } = victim.replica
    const held = this.devices.flatMap(one => one === victim ? [] : this.stacks.flatMap(stack => one.replica.get(stack) ?? []))
    this.#kept = this.acknowledged.filter(({ title, stack, by }) => by === victim && this.devices.some(one => {
      const disk = one.replica.disks.get(stack)
      return one !== victim && disk !== undefined && this.#isOn(disk, title)
    }))
    void Promise.all(held.map(stack => stack.headsBeyond(device))).then(found => {
      const keep = new Set([...this.#cuts.get(device)?.keep ?? [], ...found.flat().map(toHex)])
      this.#cut(victim, new Map([[device, { keep, undo: false }]]))
    }).catch((error: unknown) => { this.#errors.push(error) })
  }

  /** Everybody hears of it at another moment; who is down reads it at the start. */
  #cut (victim: SimDevice, cuts: Cuts): void {
    this.#cuts = cuts
    for (const device of this.devices) {
      if (device === victim) continue
      this.world.at(this.world.now + this.world.random() * 20_000, () => { void device.replica.setCuts(cuts) })
    }
  }

  // ---- what must hold

  /** Equal feeds show equal entries, over all devices and all times; nothing that was told as failed is seen. */
  look (): void {
    for (const device of this.devices) {
      for (const name of this.stacks) {
        const stack = this.#down.has(device) ? undefined : device.replica.get(name)
        if (stack === undefined) continue
        const { feeds, digest } = stack.digest()
        const before = this.#shown.get(`${name} ${feeds}`) ?? digest
        this.#shown.set(`${name} ${feeds}`, digest)
        if (before !== digest) throw new Error(`${device.name} shows something else for equal feeds of ${name}`)
        const failed = stack.entries({ removed: true }).find(({ title }) => this.failed.has(title))
        if (failed !== undefined) throw new Error(`${device.name} shows "${failed.title}", which was told as failed`)
      }
    }
  }

  /** Undefined when all is well in the end; else what is wrong. */
  difference (): string | undefined {
    if (this.#errors.length > 0) return String(this.#errors[0])
    this.look()
    const members = this.devices.filter(({ replica }) => !this.#evicted.has(replica.device))
    for (const name of this.stacks) {
      const [first, ...others] = members.map(device => ({ device, stack: device.replica.get(name) }))
      if (first === undefined) continue
      for (const { device, stack } of others) {
        const [ours, theirs] = [first.stack, stack].map(one => one === undefined || one.isEmpty ? 'nothing' : `${toBase32(one.feedsDigest())} ${one.digest().digest}`)
        if (ours !== theirs) return `${name}: ${device.name} differs from ${first.device.name}`
      }
      const wrong = members.flatMap(({ replica }) => this.#faultsOf(replica.get(name)))
      if (wrong.length > 0) return `${name}: ${wrong[0]}`
    }
    const counting = this.acknowledged.filter(({ by }) => !this.#evicted.has(by.replica.device))
    const isLost = ({ title, stack }: Acknowledged): boolean => members.some(device => !this.#holds(device, stack, title))
    const lost = [...counting, ...this.#kept].find(isLost)
    return lost === undefined ? undefined : `${lost.stack}: the acknowledged "${lost.title}" is not everywhere`
  }

  #faultsOf (stack: ReturnType<SimDevice['replica']['get']>): string[] {
    if (stack === undefined) return []
    const isFaulty = (device: DeviceId): boolean => this.#evicted.has(device) || [...this.restored].some(({ replica }) => replica.device === device)
    return [
      ...stack.forks().filter(({ feed }) => !isFaulty(feedDevice(feed))).map(({ feed, seq }) => `the feed ${feed} forked at ${seq} without a fault`),
      ...stack.unshown().filter(({ state }) => state === 'void').map(({ feed, seq, why }) => `record ${seq} of ${feed} is void: ${why}`),
      ...stack.unshown().filter(({ device, state }) => state === 'skipped' && (device === undefined || !isFaulty(device))).map(({ feed, seq, why }) => `record ${seq} of ${feed} is not shown: ${why}`),
    ]
  }

  #holds (device: SimDevice, stack: string, title: string): boolean {
    const disk = device.replica.disks.get(stack)
    return this.#down.has(device) ? disk !== undefined && this.#isOn(disk, title) : device.replica.get(stack)?.entries({ removed: true }).some(entry => entry.title === title) === true
  }

  /** Titles are unique and short, so their bytes are found in the records that carry them. */
  #isOn (disk: SimDisk, title: string): boolean {
    const bytes = Buffer.concat([Buffer.from([0x60 + title.length]), Buffer.from(title)])
    return disk.durable.some(({ records }) => records.some(record => Buffer.from(record.buffer, record.byteOffset, record.length).includes(bytes)))
  }

  #spawn (device: SimDevice): void {
    this.world.spawn(device.name, device)
    device.boot().then(() => {
      this.#up.add(device)
      for (const other of this.#up) {
        if (!this.#together(other, device)) continue
        device.admitted(other)
        other.admitted(device)
      }
    }).catch((error: unknown) => { this.#errors.push(error) })
  }

  #together (a: SimDevice, b: SimDevice): boolean {
    return a !== b && this.#groups.some(group => group.includes(a) && group.includes(b))
  }
}
