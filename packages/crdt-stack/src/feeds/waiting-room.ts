/**
 * Records that are well formed and signed, and name something that is not taken yet. They are kept, on disk too, until it is.
 * The room is bounded for each device by itself, so nobody's records keep another's out.
 *
 * A record that a prune dropped is *parked* here while a waiting record names it: it lacks nothing, and comes back with that record.
 */
import { feedDevice, LIMITS, type DeviceId } from '@elder-node/protocol'
import type { HeldRecord, RecordName } from './node.ts'

interface Share { records: number, bytes: number }

export class WaitingRoom {
  readonly #records = new Map<RecordName, HeldRecord>()
  /** What is waited for, and by whom. */
  readonly #lacking = new Map<RecordName, Set<HeldRecord>>()
  /** The same names, by the devices whose records wait for them: what one waits for hides nothing of another's. */
  readonly #lackedBy = new Map<DeviceId, Set<RecordName>>()
  /** How many records of the room name it, taken or not. */
  readonly #named = new Map<RecordName, number>()
  readonly #parked = new Set<RecordName>()
  readonly #shares = new Map<DeviceId, Share>()
  /** Of whom more records came than had room, since some of theirs wait. */
  readonly #turnedAway = new Set<DeviceId>()

  get size (): number { return this.#records.size }
  get (name: RecordName): HeldRecord | undefined { return this.#records.get(name) }
  has (name: RecordName): boolean { return this.#records.has(name) }
  values (): Iterable<HeldRecord> { return this.#records.values() }

  /** Do these fit into their device's share? */
  hasRoom (records: readonly HeldRecord[]): boolean {
    const [first] = records
    const { records: count, bytes } = this.#shares.get(feedDevice((first as HeldRecord).feed)) ?? { records: 0, bytes: 0 }
    return count + records.length <= LIMITS.waitingRecordsMax && bytes + bytesOf(records) <= LIMITS.waitingBytesMax
  }

  /** These had no room: {@link waiting} is not all that there is of their device. */
  turnAway ([first]: readonly HeldRecord[]): void { this.#turnedAway.add(feedDevice((first as HeldRecord).feed)) }

  /** Came more records of this device than had room? */
  hasMore (device: DeviceId): boolean { return this.#turnedAway.has(device) }

  /** `lacks`: the names that it waits for, at least one. */
  add (record: HeldRecord, lacks: readonly RecordName[]): void {
    record.body = undefined
    this.#records.set(record.name, record)
    const device = feedDevice(record.feed)
    for (const name of lacks) {
      this.#lacking.set(name, (this.#lacking.get(name) ?? new Set()).add(record))
      this.#lackedBy.set(device, (this.#lackedBy.get(device) ?? new Set()).add(name))
    }
    this.#count(record, 1)
  }

  /** Records that lack something, each device's together. A parked one lacks nothing. */
  waiting (): Map<DeviceId, HeldRecord[]> {
    const lacking = [...this.#records.values()].filter(({ name }) => !this.#parked.has(name))
    return Map.groupBy(lacking, ({ feed }) => feedDevice(feed))
  }

  isParked (name: RecordName): boolean { return this.#parked.has(name) }

  /** Keeps a dropped record that a record of the room names, if there is room. @returns whether it was kept */
  park (record: HeldRecord): boolean {
    if (!this.#named.has(record.name) || !this.hasRoom([record])) return false
    this.#parked.add(record.name)
    this.add(record, [])
    return true
  }

  /** Takes out a parked record: it is taken again. */
  unpark (name: RecordName): HeldRecord {
    const record = this.#records.get(name) as HeldRecord
    this.#parked.delete(name)
    this.#records.delete(name)
    this.#count(record, -1)
    return record
  }

  /** Takes out whoever waited for this name: each is to be tried again. */
  wake (name: RecordName): HeldRecord[] {
    const woken = [...this.#lacking.get(name) ?? []].filter(record => this.#records.delete(record.name))
    for (const record of this.#lacking.get(name) ?? []) this.#lackedBy.get(feedDevice(record.feed))?.delete(name)
    this.#lacking.delete(name)
    for (const record of woken) this.#count(record, -1)
    return woken
  }

  /** Does a waiting record wait for it? */
  isNamed (name: RecordName): boolean { return [...this.#lacking.get(name) ?? []].some(record => this.#records.has(record.name)) }

  /**
   * What waiting records name and `isHeld` does not know, at most `max`: of each device in turn. The address is what a waiting record
   * says, which may be a lie: the name counts.
   */
  missing (isHeld: (name: RecordName) => boolean, max: number): Array<{ feed: HeldRecord['feed'], seq: number, name: RecordName }> {
    const out = new Map<RecordName, { feed: HeldRecord['feed'], seq: number, name: RecordName }>()
    let turns = [...this.#lackedBy.values()].map(names => names.values())
    while (turns.length > 0 && out.size < max) {
      turns = turns.filter(names => {
        const place = this.#nextPlace(names, isHeld)
        if (place !== undefined && out.size < max && !out.has(place.name)) out.set(place.name, place)
        return place !== undefined
      })
    }
    return [...out.values()]
  }

  #nextPlace (names: Iterator<RecordName>, isHeld: (name: RecordName) => boolean): { feed: HeldRecord['feed'], seq: number, name: RecordName } | undefined {
    for (let next = names.next(); next.done !== true; next = names.next()) {
      const name = next.value
      const record = isHeld(name) ? undefined : [...this.#lacking.get(name) ?? []].find(record => this.#records.has(record.name))
      if (record !== undefined) return record.deps.find(dep => dep.name === name) ?? { feed: record.feed, seq: record.seq - 1, name }
    }
    return undefined
  }

  #count ({ feed, bytes, prev, deps }: HeldRecord, by: 1 | -1): void {
    for (const name of [prev, ...deps.map(dep => dep.name)]) {
      const count = (this.#named.get(name) ?? 0) + by
      if (count === 0) this.#named.delete(name)
      else this.#named.set(name, count)
    }
    const device = feedDevice(feed)
    const share = this.#shares.get(device) ?? { records: 0, bytes: 0 }
    share.records += by
    share.bytes += by * bytes.length
    if (share.records > 0) this.#shares.set(device, share)
    else {
      this.#shares.delete(device)
      this.#turnedAway.delete(device)
    }
  }
}

function bytesOf (records: ReadonlyArray<Pick<HeldRecord, 'bytes'>>): number {
  return records.reduce((sum, { bytes }) => sum + bytes.length, 0)
}
