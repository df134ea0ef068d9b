/** Brings the stacks of a mirror back: those of this mesh merge, those of another come as archived. */
import { codeOf, ElderError, stackKey, type DeviceId, type MeshId } from '@elder-node/protocol'
import type { RestoredContent, RestoredMirror } from '@elder-node/crdt-stack/mirror'
import type { Problem, RestoredStack } from '../api.ts'
import { restoredWait } from './stacks/faults.ts'
import { shownName } from './stacks/names.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

/** `agent`: in whose name a removal is taken back. */
interface ImportInto { stacks: Stacks, mesh: MeshId, nameOf: (device: DeviceId) => string, agent?: string | undefined }

/**
 * Each stack by itself: what one of them holds keeps no other from coming back. Of those that cannot, the answer says why.
 *
 * @throws ElderError `MIRROR_UNVERIFIED` when not one stack of the mirror verified
 */
export async function importMirror (mirror: RestoredMirror, into: ImportInto): Promise<RestoredStack[]> {
  const restored: RestoredStack[] = []
  const failed: RestoredStack[] = []
  for (const content of mirror.stacks.filter(stack => stack.batches.length > 0)) {
    try {
      restored.push(await importStack(content, into))
    } catch (error) {
      if (codeOf(error) === 'DISK_FULL') throw error
      failed.push(notRestored(content, content.mesh !== into.mesh, error as Error))
    }
  }
  if (restored.length > 0) return [...restored, ...failed]
  const [first] = [...failed.map(({ stack, problems }) => `${stack}: ${problems[0]?.message}`), ...mirror.quarantined.map(({ path, why }) => `${path}: ${why}`)]
  throw new ElderError('MIRROR_UNVERIFIED', `No stack in this mirror could be verified${first === undefined ? '' : ` (${first})`}.`, 'Check that the URL is a mirror, or restore from another remote.')
}

async function importStack ({ id, name, mesh: origin, batches, names, roster }: RestoredContent, { stacks, mesh, nameOf, agent }: ImportInto): Promise<RestoredStack> {
  const isOwn = origin === mesh
  const held = isOwn ? await stacks.ensure(name) : await stacks.importArchived({ key: stackKey(id, origin as MeshId), name, batches, roster })
  if (isOwn) await stacks.receiveEach(held, batches)
  const back = await takeBack(held, stacks, agent === undefined ? {} : { agent })
  return { ...describe(held, stacks), problems: [...back, ...restoredWait(held, names, nameOf)] }
}

/**
 * Whoever restores a stack wants to see it: one that was removed comes back on every device, which is told.
 *
 * @throws ElderError `FORBIDDEN` on an observer
 */
async function takeBack (held: HeldStack, stacks: Stacks, author: { agent?: string }): Promise<Problem[]> {
  const removed = stacks.book.removed(held)
  if (removed === undefined) return []
  stacks.demandWriter()
  await stacks.book.keep(held, author)
  return [{
    code: 'STACK_RETURNED',
    message: `The stack ${held.name} had been removed on ${removed.at.slice(0, 10)}; ` +
      'with this restore it is back, on every device.',
    fix: `elder-node stack rm --all-of ${held.folder}   (if it is to stay removed)`,
  }]
}

function notRestored ({ key, name }: RestoredContent, archived: boolean, error: Error): RestoredStack {
  const problem = { code: 'STACK_NOT_RESTORED', message: `The stack ${key} of the mirror did not come back: ${error.message}`, fix: 'The others did. Restore from another remote too, or ask who can push to this one.' }
  return { stack: key, name, digest: '', feeds: '', entries: 0, archived, problems: [problem] }
}

function describe (held: HeldStack, stacks: Stacks): Omit<RestoredStack, 'problems'> {
  const { digest, feeds } = held.stack.digest()
  return { stack: shownName(held, stacks.all()), name: held.name, digest, feeds, entries: held.entries(), archived: held.archivedFrom !== undefined || stacks.book.archived(held) !== undefined }
}
