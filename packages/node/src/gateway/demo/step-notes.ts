/** Step 4: the killed device is back; a note on it and a decision elsewhere, at once, meet on all three. */
import type { DemoDevice } from './device.ts'
import type { Evidence } from './story.ts'
import { STACK, ask, deviceAt, untilEqual, untilOnline } from './world.ts'
import type { World } from './world.ts'

const NOTE = 'The builder died in the middle of a build.\nNobody had to do anything.\n'
const DECISION = 'Every device keeps everything.\nA host is only a sleeve.\n'

export async function notesStep (world: World, killed: DemoDevice): Promise<Evidence> {
  await killed.start({ signal: world.signal })
  world.story.detail(`${killed.name} is back with the same key`)
  await untilOnline(world, deviceAt(world, 0), world.devices.length)
  const other = world.devices.findLast((device) => device !== killed) ?? killed
  const [note, decision] = await Promise.all([
    ask<{ id: string }>(world, killed, 'stack', 'add', STACK, '--kind', 'note', '--title', 'A sleeve was lost', '--body', NOTE, '--as', 'juno'),
    ask<{ id: string }>(world, other, 'stack', 'add', STACK, '--kind', 'decision', '--title', 'Memory outlives hosts', '--body', DECISION, '--as', 'ripley'),
  ])
  world.story.detail(`a note on ${killed.name} and a decision on ${other.name}, written at the same time`)
  const { digest, feeds, entries } = await untilEqual(world, world.devices, STACK, (_digest, count) => count === 2)
  world.story.detail(`both are on ${world.devices.map(({ name }) => name).join(', ')}: the digest is the same everywhere`)
  return { stack: STACK, digest, feeds, entries, note: note.id, decision: decision.id, devices: world.devices.map(({ name }) => name) }
}
