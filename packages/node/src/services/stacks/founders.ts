/** Which device made which stack, how many each, and whose were too many to be kept here. See LIMITS.stacksPerDeviceMax. */
import { ElderError, LIMITS, type DeviceId, type StackKey } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'

export class Founders {
  readonly #founders = new Map<StackKey, DeviceId>()
  readonly #counts = new Map<DeviceId, number>()
  /** Bounded for each device: who offers without end is told of all the same. */
  readonly #refused = new Map<DeviceId, Set<StackKey>>()

  /** A stack is about to be here. `founder`: undefined when nobody can tell. */
  add (key: StackKey, founder: DeviceId | undefined): void {
    if (founder === undefined || this.#founders.has(key)) return
    this.#founders.set(key, founder)
    this.#counts.set(founder, this.#count(founder) + 1)
    this.#refused.get(founder)?.delete(key)
  }

  /** A stack was deleted here: it no longer counts for its founder. */
  remove (key: StackKey): void {
    const founder = this.#founders.get(key)
    if (founder === undefined) return
    this.#founders.delete(key)
    this.#counts.set(founder, this.#count(founder) - 1)
  }

  hasRoomFor (founder: DeviceId): boolean { return this.#count(founder) < LIMITS.stacksPerDeviceMax }

  /** @throws ElderError `TOO_MANY_STACKS`, before the other devices would refuse one more of `self` without a word */
  demandRoomFor (self: DeviceId): void {
    if (this.hasRoomFor(self)) return
    throw new ElderError(
      'TOO_MANY_STACKS', `This device has made ${this.#count(self)} stacks, as many as the others take of one device.`,
      'Write to one of those: elder-node stack list; or make it on another device.',
    )
  }

  /** @returns whether it is the first of this device */
  refuse (founder: DeviceId, key: StackKey): boolean {
    const known = this.#refused.get(founder)
    const refused = known ?? new Set()
    if (refused.size < LIMITS.stacksReserved) refused.add(key)
    this.#refused.set(founder, refused)
    return known === undefined
  }

  /** Of whom stacks are not kept here. `isMember`: what others made and left is nobody's to mend. */
  problems (isMember: (device: DeviceId) => boolean, nameOf: (device: DeviceId) => string): Problem[] {
    return [...this.#refused].filter(([device, { size }]) => size > 0 && isMember(device)).map(([device, { size }]) => {
      const count = size < LIMITS.stacksReserved ? String(size) : `${size} or more`
      const why = this.hasRoomFor(device)
        ? `This device holds as many stacks as it takes from others, and ${nameOf(device)} has made more`
        : `${nameOf(device)} has made more than ${LIMITS.stacksPerDeviceMax} stacks, the most that is taken of one device`
      return {
        code: 'STACKS_REFUSED', message: `${why}: ${count} of them ${size === 1 ? 'is' : 'are'} not kept here.`,
        fix: `On ${nameOf(device)} write to fewer stacks, or make them on another device; a remote keeps them meanwhile: ` +
          'elder-node stack remote add --all <git url>. ' +
          'A removed stack (elder-node stack rm --all-of <stack>) makes room after 30 days.',
      }
    })
  }

  #count (device: DeviceId): number { return this.#counts.get(device) ?? 0 }
}
