/** What counts of evicted devices in one stack. Who left by its own word wrote what it wrote: nothing of it is cut. */
import type { Cuts, RevokedDevice, Roster, StackId } from '@elder-node/protocol'

export function cutsOf (roster: Roster, stack: StackId): Cuts {
  const evicted = [...roster.revoked.values()].filter(isCut)
  return new Map(evicted.map(({ device, cuts, undo }) => [device, { keep: cuts.get(stack) ?? NONE, undo }]))
}

/** Is there anything of it that does not count? */
export function isCut ({ left, cuts, undo }: RevokedDevice): boolean { return !left || cuts.size > 0 || undo }

const NONE: ReadonlySet<string> = new Set()
