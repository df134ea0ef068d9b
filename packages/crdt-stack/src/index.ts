/**
 * Feeds to stacks: replicated memory for repositories and coding agents.
 *
 * A {@link Stack} is a set of entries, computed from signed append-only feeds, each written by one device. Devices
 * exchange batches of records in any order and over any path; equal vectors mean equal entries. No method shows a type
 * of Yjs. Subpaths:
 *
 * - `@elder-node/crdt-stack/fs`: feeds on disk
 * - `@elder-node/crdt-stack/mirror`: stacks on a git remote, and back
 * - `@elder-node/crdt-stack/git`: the git behind it
 * - `@elder-node/crdt-stack/acceptance`: for a feed store or a git of your own
 *
 * @example A stack in memory
 * ```ts
 * import assert from 'node:assert/strict'
 * import { randomBytes } from 'node:crypto'
 * import { stackId } from '@elder-node/protocol'
 * import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
 * import { crypto, newSigner } from './crypto.ts'
 *
 * const stack = await Stack.open(
 *   { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
 *   { id: stackId('my-repo', crypto), name: 'my-repo' },
 * )
 * const { id, revision } = await stack.add({ kind: 'decision', title: 'Storage', body: 'Plain files.\nNo database.\n' }, { agent: 'planner' })
 * // Somebody else's text is changed by saying which one was read: what was written since then would stay.
 * await stack.edit(id, { body: 'Plain files, synced.\nNo database.\n', tags: ['storage'] }, {}, { base: revision })
 *
 * assert.equal(stack.entry(id)?.author.agent, 'planner')
 * assert.deepEqual(stack.entries({ tag: 'storage' }).map(entry => entry.title), ['Storage'])
 * await stack.close()
 * ```
 *
 * @example Two devices come to the same
 * ```ts
 * import assert from 'node:assert/strict'
 * import { randomBytes } from 'node:crypto'
 * import { stackId } from '@elder-node/protocol'
 * import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
 * import { crypto, newSigner } from './crypto.ts'
 *
 * const open = async (): Promise<Stack> => await Stack.open(
 *   { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
 *   { id: stackId('my-repo', crypto), name: 'my-repo' },
 * )
 * const [laptop, pi] = [await open(), await open()]
 * await laptop.add({ kind: 'note', title: 'from the laptop' })
 * await pi.add({ kind: 'note', title: 'from the pi' })
 *
 * // What one lacks, the other serves as signed batches; which way they travel does not matter.
 * for (const [to, from] of [[laptop, pi], [pi, laptop]] as const) {
 *   for (const head of from.vector()) {
 *     if (to.wants(head)) await to.receive([...from.path({ ...head, from: 1, to: head.seq })])
 *   }
 * }
 * assert.deepEqual(laptop.digest(), pi.digest())
 * await Promise.all([laptop.close(), pi.close()])
 * ```
 *
 * `./crypto.ts` in both is the first example of `@elder-node/protocol`.
 *
 * @packageDocumentation
 */
export type * from './types.ts'
export { Stack, type EntryFilter, type StackComponents, type StackInit } from './stack.ts'
export { createMemory, MemoryFeedStore, type Memory } from './feeds/memory-store.ts'
export type { Damage, FeedStore, LoadedFeeds } from './feeds/store.ts'
export { search, SEARCH_HITS_MAX, type SearchDocument, type SearchHit, type SearchOptions } from './search.ts'
export type { HistoryOptions } from './history.ts'
export { unified, type UnifiedOptions } from './unified.ts'
