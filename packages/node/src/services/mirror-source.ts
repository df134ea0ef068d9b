/** The stacks of this device as the mirror sees them. */
import type { MirroredStack } from '@elder-node/crdt-stack/mirror'
import { SETTINGS_STACK, STACK_NAME } from '@elder-node/protocol'
import type { MirrorSource } from './mirror.ts'
import type { Remotes } from './remotes.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

/** Folders of the stacks that were removed: what the settings say of them changes their mirrors too. */
function goneIn (stacks: Stacks): Set<string> {
  return new Set(stacks.all().filter(held => stacks.book.removed(held) !== undefined).map(({ folder }) => folder))
}

export function mirrorSource ({ stacks, remotes }: { stacks: Stacks, remotes: Remotes }): MirrorSource {
  return {
    stacks: () => stacks.all().filter(held => held.name !== SETTINGS_STACK && !held.stack.isEmpty).map(mirrored),
    remotes: () => remotes.all(),
    // A folder without a mesh in its name is a stack of this mesh that this device has not met.
    adopt: async (folder, author) => {
      const adopted = STACK_NAME.test(folder) ? await stacks.adopt(folder, author) : undefined
      return adopted === undefined ? undefined : mirrored(adopted)
    },
    onChanged: listener => {
      const told = goneIn(stacks)
      return stacks.onMoved(held => {
        if (held.name !== SETTINGS_STACK) return listener(held.folder)
        const gone = goneIn(stacks)
        for (const folder of new Set([...gone, ...told])) if (gone.has(folder) !== told.has(folder)) listener(folder)
        told.clear()
        for (const folder of gone) told.add(folder)
      })
    },
    onRemotesChanged: listener => remotes.onChanged(listener),
  }

  /** What a pass over the remote brings goes through the service, so that everybody hears of it. */
  function mirrored (held: HeldStack): MirroredStack {
    return {
      id: held.stack.id, key: held.folder,
      origin: () => stacks.origin(held.key),
      gone: () => stacks.book.removed(held) !== undefined,
      windows: () => held.stack.windows(),
      path: want => held.stack.path(want),
      holdsAt: (feed, seq, hashPrefix) => held.stack.holdsAt(feed, seq, hashPrefix),
      feedsDigest: () => held.stack.feedsDigest(),
      entries: () => held.stack.entries(),
      receive: batches => stacks.receive(held.key, held.name, batches),
      isCut: device => held.stack.isCut(device),
      waiting: () => held.stack.waiting(),
    }
  }
}
