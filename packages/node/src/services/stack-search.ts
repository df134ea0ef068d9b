/** Keywords over one stack or all of them; words are weighed over everything that is searched. */
import { search } from '@elder-node/crdt-stack'
import type { SearchFilter, SearchHit } from '../api.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import { shownName } from './stacks/names.ts'
import { replacements } from './stacks/revisions.ts'
import type { Stacks } from './stacks.ts'

/** @throws ElderError `NO_SUCH_STACK`, `AMBIGUOUS` */
export function searchStacks (stacks: Stacks, query: string, { stack, all: archived = false, kind, tag, limit }: SearchFilter = {}): SearchHit[] {
  const all = stacks.which('kept')
  const named = stack === undefined ? undefined : stacks.find(stack)
  const known = new Map<HeldStack, ReturnType<typeof replacements>>()
  const replaced = (held: HeldStack): ReturnType<typeof replacements> => {
    const found = known.get(held) ?? replacements(held.stack)
    known.set(held, found)
    return found
  }
  const filter = { ...(kind === undefined ? {} : { kind }), ...(tag === undefined ? {} : { tag }) }
  return search(documents(named !== undefined ? [named] : archived ? all : stacks.which('shown'), filter), query, limit === undefined ? {} : { limit })
    .map(({ document: { held, body: _body, ...entry }, score, snippet }) => ({ stack: shownName(held, all), score, snippet, entry: { ...entry, supersededBy: replaced(held).get(entry.id) ?? null } }))
}

function * documents (all: HeldStack[], filter: { kind?: string, tag?: string }): Generator<ReturnType<HeldStack['stack']['documents']>[number] & { held: HeldStack }> {
  for (const held of all) for (const document of held.stack.documents(filter)) yield { ...document, held }
}
