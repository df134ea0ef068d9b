/** The memory of the mesh, as its owner reads, writes and proves it. */
import type { ElderNode, StackStatus } from '../api.ts'
import type { DiagnosisComponents } from '../services/diagnosis.ts'
import type { Membership } from '../services/membership.ts'
import type { MirrorService } from '../services/mirror.ts'
import type { Remotes } from '../services/remotes.ts'
import type { Replication } from '../services/replication.ts'
import { importMirror } from '../services/restore.ts'
import { proveStack } from '../services/stack-proof.ts'
import { searchStacks } from '../services/stack-search.ts'
import type { Stacks, Which } from '../services/stacks.ts'
import type { StatusService } from '../services/status.ts'

const RESTORE_MS = 600_000

export interface StackVerbsComponents {
  membership: Membership
  mesh: DiagnosisComponents['mesh']
  stacks: Stacks
  stackList: (which?: Which) => StackStatus[]
  replication: Replication
  remotes: Remotes
  mirror: MirrorService
  status: StatusService
}

export function stackVerbs (parts: StackVerbsComponents, author: { agent?: string }): ElderNode['stacks'] {
  const { membership, mesh, stacks, stackList, replication, remotes, mirror, status } = parts
  return {
    list: async ({ all = false } = {}) => stackList(all ? 'all' : 'shown'),
    open: async name => {
      await stacks.recall(name)
      return stacks.open(name, author)
    },
    place: async worktree => stacks.book.origins.place(worktree),
    search: async (query, filter) => searchStacks(stacks, query, filter),
    verify: (stack, { signal = new AbortController().signal } = {}) => proveStack({
      stacks, replication, mesh, members: () => status.devices(), nameOf: of => membership.nameOf(of),
      remotes: (held, options) => mirror.inspect(held.folder, options),
    }, stack, { signal }),
    remotes: async () => remotes.all().map(remote => ({ ...remote, ...mirror.remoteStatus(remote.stack, remote.url) })),
    addRemote: async (stack, url) => ({ ...await remotes.add(stack, url, author.agent), ...mirror.remoteStatus(stack, url) }),
    removeRemote: (stack, url) => remotes.remove(stack, url, author.agent),
    archive: async (name, { undo = false, agent = author.agent } = {}) => {
      const held = stacks.settle(name)
      await stacks.book.archive(held, { undo, ...by(agent) })
      return { stack: name, archived: held.archivedFrom !== undefined || stacks.book.archived(held) !== undefined }
    },
    removeAll: async (name, { undo = false, agent = author.agent } = {}) => {
      const held = stacks.settle(name)
      await stacks.book.remove(held, { undo, ...by(agent) })
      // Its remotes hear of it now; whether they can be reached is for `status` to say.
      void mirror.sync(held.folder).catch(() => undefined)
      return { stack: name, removed: stacks.book.removed(held) !== undefined, entries: held.entries() }
    },
    sync: stack => mirror.sync(stack),
    restore: async url => {
      const restored = await importMirror(await mirror.restore(url, { signal: AbortSignal.timeout(RESTORE_MS) }), {
        stacks, mesh: membership.meshId, nameOf: of => membership.nameOf(of), agent: author.agent,
      })
      replication.announce()
      return restored
    },
  }
}

function by (agent: string | undefined): { agent?: string } { return agent === undefined ? {} : { agent } }
