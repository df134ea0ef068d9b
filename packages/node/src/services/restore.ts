/** Brings the stacks of a mirror back: those of this mesh merge, those of another come as archived. */
import { ElderError, stackKey, type MeshId } from '@elder-node/protocol'
import type { RestoredMirror } from '@elder-node/crdt-stack/mirror'
import type { RestoredStack } from '../api.ts'
import { shownName } from './stacks/names.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

/** @throws ElderError `MIRROR_UNVERIFIED` when not one stack of the mirror verified */
export async function importMirror (mirror: RestoredMirror, { stacks, mesh }: { stacks: Stacks, mesh: MeshId }): Promise<RestoredStack[]> {
  const held: HeldStack[] = []
  for (const { id, name, mesh: origin, batches } of mirror.stacks.filter(stack => stack.batches.length > 0)) {
    if (origin === mesh) {
      const own = await stacks.ensure(name)
      await stacks.receive(own.key, name, batches)
      held.push(own)
    } else {
      held.push(await stacks.importArchived({ key: stackKey(id, origin as MeshId), name, batches, roster: mirror.roster }))
    }
  }
  if (held.length === 0) {
    throw new ElderError('MIRROR_UNVERIFIED', `No stack in this mirror could be verified${mirror.quarantined[0] === undefined ? '' : ` (${mirror.quarantined[0].path}: ${mirror.quarantined[0].why})`}.`, 'Check that the URL is a mirror, or restore from another remote.')
  }
  return held.map(stack => describe(stack, stacks))
}

function describe (held: HeldStack, stacks: Stacks): RestoredStack {
  const { digest, feeds } = held.stack.digest()
  return { stack: shownName(held, stacks.all()), name: held.name, digest, feeds, entries: held.entries(), archived: held.archivedFrom !== undefined || stacks.book.archived(held) !== undefined }
}
