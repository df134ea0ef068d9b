/** What counts of evicted devices in one stack. Who left by its own word wrote what it wrote: nothing of it is cut. */
import type { Cuts, Roster, StackId } from '@elder-node/protocol'

export function cutsOf (roster: Roster, stack: StackId): Cuts {
  const evicted = [...roster.revoked.values()].filter(({ left, cuts, undo }) => !left || cuts.size > 0 || undo)
  return new Map(evicted.map(({ device, cuts, undo }) => [device, { keep: cuts.get(stack) ?? NONE, undo }]))
}

const NONE: ReadonlySet<string> = new Set()
