/** Brings the stacks of a mirror back: those of this mesh merge, those of another come as archived. */
import { ElderError, stackKey, type DeviceId, type MeshId } from '@elder-node/protocol'
import type { RestoredMirror } from '@elder-node/crdt-stack/mirror'
import type { RestoredStack } from '../api.ts'
import { restoredWait } from './stacks/faults.ts'
import { shownName } from './stacks/names.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

interface ImportInto { stacks: Stacks, mesh: MeshId, nameOf: (device: DeviceId) => string }

/** @throws ElderError `MIRROR_UNVERIFIED` when not one stack of the mirror verified */
export async function importMirror (mirror: RestoredMirror, { stacks, mesh, nameOf }: ImportInto): Promise<RestoredStack[]> {
  const taken: Array<{ held: HeldStack, names: ReadonlySet<string> }> = []
  for (const { id, name, mesh: origin, batches, names } of mirror.stacks.filter(stack => stack.batches.length > 0)) {
    if (origin === mesh) {
      const own = await stacks.ensure(name)
      await stacks.receive(own.key, name, batches)
      taken.push({ held: own, names })
    } else {
      const key = stackKey(id, origin as MeshId)
      const held = await stacks.importArchived({ key, name, batches, roster: mirror.roster })
      taken.push({ held, names })
    }
  }
  if (taken.length === 0) {
    throw new ElderError('MIRROR_UNVERIFIED', `No stack in this mirror could be verified${mirror.quarantined[0] === undefined ? '' : ` (${mirror.quarantined[0].path}: ${mirror.quarantined[0].why})`}.`, 'Check that the URL is a mirror, or restore from another remote.')
  }
  return taken.map(({ held, names }) => ({ ...describe(held, stacks), problems: restoredWait(held, names, nameOf) }))
}

function describe (held: HeldStack, stacks: Stacks): Omit<RestoredStack, 'problems'> {
  const { digest, feeds } = held.stack.digest()
  return { stack: shownName(held, stacks.all()), name: held.name, digest, feeds, entries: held.entries(), archived: held.archivedFrom !== undefined || stacks.book.archived(held) !== undefined }
}
