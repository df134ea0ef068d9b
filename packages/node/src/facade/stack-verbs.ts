/** The memory of the mesh, as its owner reads, writes and proves it. */
import type { ElderNode } from '../api.ts'
import { folderOf } from '../services/mirror-source.ts'
import { importMirror } from '../services/restore.ts'
import { proveStack } from '../services/stack-proof.ts'
import { searchStacks } from '../services/stack-search.ts'
import type { FacadeComponents } from './facade.ts'

const RESTORE_MS = 600_000

export function stackVerbs (parts: FacadeComponents, author: { agent?: string }): ElderNode['stacks'] {
  const { membership, mesh, stacks, stackList, replication, settings, mirror, status, crypto } = parts
  return {
    list: async () => stackList(),
    open: async name => {
      await stacks.recall(name)
      return stacks.open(name, author)
    },
    place: async worktree => stacks.book.place(worktree),
    search: async (query, filter) => searchStacks(stacks, query, filter),
    verify: (stack, { signal = new AbortController().signal } = {}) => proveStack({
      stacks, replication, mesh, crypto, members: () => status.devices(), nameOf: of => membership.nameOf(of),
      remotes: (held, options) => mirror.inspect(folderOf(held), options),
    }, stack, { signal }),
    remotes: async () => settings.remotes().map(remote => ({ ...remote, ...mirror.remoteStatus(remote.stack, remote.url) })),
    addRemote: async (stack, url) => ({ ...await settings.addRemote(stack, url, author.agent), ...mirror.remoteStatus(stack, url) }),
    removeRemote: (stack, url) => settings.removeRemote(stack, url, author.agent),
    sync: stack => mirror.sync(stack),
    restore: async url => {
      const restored = await importMirror(await mirror.restore(url, { signal: AbortSignal.timeout(RESTORE_MS) }), { stacks, mesh: membership.meshId })
      replication.announce()
      return restored
    },
  }
}
