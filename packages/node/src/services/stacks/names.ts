/** Which stack a person means. A stack of this mesh comes first; an archived one answers to its name while that is free. */
import { ElderError, SETTINGS_STACK } from '@elder-node/protocol'
import type { HeldStack } from './held-stack.ts'
import type { Settled } from './settled.ts'

/** What a person calls it: the name, or `<name>@<mesh>` when another stack has the name. */
export function shownName (held: HeldStack, all: Iterable<HeldStack>): string {
  return [...all].filter(other => other.name === held.name).length === 1 ? held.name : held.folder
}

/** Undefined when there is none. @throws ElderError `AMBIGUOUS` when several archived stacks answer. */
export function findStack (name: string, all: Iterable<HeldStack>): HeldStack | undefined {
  if (name.split('@')[0] === SETTINGS_STACK) return undefined
  const stacks = [...all]
  const own = stacks.find(held => held.archivedFrom === undefined && held.name === name)
  if (own !== undefined) return own
  const archived = stacks.filter(held => held.archivedFrom !== undefined && (held.name === name || held.folder.startsWith(name) && name.startsWith(`${held.name}@`)))
  if (archived.length > 1) {
    throw new ElderError('AMBIGUOUS', `${archived.length} archived stacks answer to "${name}".`, `Say which: ${archived.map(held => held.folder).join(', ')}.`)
  }
  return archived[0]
}

export function removedStack (name: string, { at }: Settled): ElderError {
  return new ElderError('NO_SUCH_STACK', `The stack "${name}" was removed on ${at.slice(0, 10)}.`, `elder-node stack rm --all-of ${name} --undo`)
}

/** Of a stack of another mesh. */
export function foreignStack (name: string): ElderError {
  return new ElderError('ARCHIVED', `"${name}" was restored from another mesh and is read-only here.`, `Read it: elder-node stack show ${name}   To go on, write to a stack of another name: elder-node stack add <name> --kind note --title "…"`)
}

export function archivedStack (name: string, { at }: Settled): ElderError {
  return new ElderError('ARCHIVED', `The stack "${name}" is archived since ${at.slice(0, 10)} and takes no writes.`, `elder-node stack archive ${name} --undo`)
}

export function noSuchStack (name: string): ElderError {
  return new ElderError('NO_SUCH_STACK', `There is no stack "${name}" on this device.`, `See elder-node stack list; the first write makes it: elder-node stack add ${name} --kind note --title "…".`)
}
