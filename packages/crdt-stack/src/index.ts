/**
 * Feeds to stacks: replicated memory for repositories and coding agents.
 *
 * ```ts
 * import { stackId } from '@elder-node/protocol'
 * import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
 *
 * // crypto: sha256 and Ed25519; signer: this device's key
 * const stack = await Stack.open(
 *   { store: new MemoryFeedStore(), crypto, signer, wallMs: () => Date.now(), random },
 *   { id: stackId('my-repo', crypto), name: 'my-repo' },
 * )
 * const { id } = await stack.add({ kind: 'note', title: 'remember', body: 'one\ntwo\n' })
 * await stack.edit(id, { body: 'one\n2\n' })
 *
 * // What another device lacks, and how it takes it:
 * for (const range of missing(other.vector(), stack.vector())) {
 *   for (const batch of stack.batches(range)) await other.receive(batch)
 * }
 * ```
 *
 * On disk: `@elder-node/crdt-stack/fs`. For a store of your own: `@elder-node/crdt-stack/acceptance`.
 *
 * @packageDocumentation
 */
export type * from './types.ts'
export { Stack, type EntryFilter, type StackComponents, type StackInit } from './stack.ts'
export { createMemory, MemoryFeedStore, type Memory } from './feed-store.ts'
export { difference, type TextEdit } from './difference.ts'
export { refuseSecrets, secretIn } from './secrets.ts'
export * from './mirror/index.ts'
