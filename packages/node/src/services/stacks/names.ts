/** Which stack a person means. A stack of this mesh comes first; an archived one answers to its name while that is free. */
import { ElderError, SETTINGS_STACK } from '@elder-node/protocol'
import type { HeldStack } from './held-stack.ts'

/** What a person calls it: the name, or `<name>@<mesh>` when another stack has the name. */
export function shownName (held: HeldStack, all: Iterable<HeldStack>): string {
  if (held.archivedFrom === undefined) return held.name
  return [...all].filter(other => other.name === held.name).length === 1 ? held.name : `${held.name}@${held.archivedFrom}`
}

/** Undefined when there is none. @throws ElderError `AMBIGUOUS` when several archived stacks answer. */
export function findStack (name: string, all: Iterable<HeldStack>): HeldStack | undefined {
  if (name.split('@')[0] === SETTINGS_STACK) return undefined
  const stacks = [...all]
  const own = stacks.find(held => held.archivedFrom === undefined && held.name === name)
  if (own !== undefined) return own
  const archived = stacks.filter(held => held.archivedFrom !== undefined && (held.name === name || `${held.name}@${held.archivedFrom}`.startsWith(name) && name.startsWith(`${held.name}@`)))
  if (archived.length > 1) {
    throw new ElderError('AMBIGUOUS', `${archived.length} archived stacks answer to "${name}".`, `Say which: ${archived.map(held => `${held.name}@${held.archivedFrom}`).join(', ')}.`)
  }
  return archived[0]
}

export function noSuchStack (name: string): ElderError {
  return new ElderError('NO_SUCH_STACK', `There is no stack "${name}" on this device.`, `See elder-node stack list; the first write makes it: elder-node stack add ${name} --kind note --title "…".`)
}
