/**
 * Stacks on a git remote: one pass that takes and gives, and the way back from the remote alone. Pure apart from its port.
 *
 * The layout and the rules are in docs/PROTOCOL.md, "Mirror". A stack is mirrored through {@link mirroredStack}; the port is
 * {@link GitMirror}, implemented in `@elder-node/crdt-stack/git`.
 *
 * @example Push a stack, and read it back as somebody who has only the URL
 * ```ts
 * import assert from 'node:assert/strict'
 * import { randomBytes } from 'node:crypto'
 * import { mkdtemp, rm } from 'node:fs/promises'
 * import { tmpdir } from 'node:os'
 * import { join } from 'node:path'
 * import { setTimeout as sleep } from 'node:timers/promises'
 * import { stackId } from '@elder-node/protocol'
 * import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
 * import { openNativeGit, serveGit } from '@elder-node/crdt-stack/git'
 * import { mirroredStack, MirrorSync, restoreMirror } from '@elder-node/crdt-stack/mirror'
 * import { crypto, newSigner } from './crypto.ts'
 *
 * const signal = AbortSignal.timeout(60_000)
 * const dir = await mkdtemp(join(tmpdir(), 'elder-mirror-'))
 * const server = await serveGit({ root: join(dir, 'remotes') })
 * const url = await server.create('memory.git')
 * const stack = await Stack.open(
 *   { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
 *   { id: stackId('my-repo', crypto), name: 'my-repo' },
 * )
 * await stack.add({ kind: 'note', title: 'on the remote' })
 *
 * // Out: segments, Markdown, one commit, a push without force.
 * const git = await openNativeGit({ dir: join(dir, 'ours'), url }, { signal })
 * const pause = async (ms: number, signal: AbortSignal): Promise<void> => await sleep(ms, undefined, { signal })
 * const mirror = new MirrorSync({ git, crypto, wallMs: () => Date.now(), random: () => Math.random(), sleep: pause }, { mesh: 'a'.repeat(26) })
 * assert.equal((await mirror.sync([mirroredStack(stack)], { signal })).pushed, true)
 *
 * // Back, with nothing but the URL. Whose feeds count is for the mesh's own records to say.
 * const theirs = await openNativeGit({ dir: join(dir, 'theirs'), url }, { signal })
 * const restored = await restoreMirror({ git: theirs, crypto, verifyRoster: records => ({ records, mayWrite: () => true }) }, { signal })
 * assert.deepEqual(restored.stacks.map(({ key, batches }) => [key, batches.length]), [['my-repo', 1]])
 *
 * await Promise.all([git.close(), theirs.close(), stack.close(), server.close()])
 * await rm(dir, { recursive: true })
 * ```
 *
 * @packageDocumentation
 */
export type { BlobId, Change, Commit, GitMirror, GitOptions, NewCommit, TreeFile, TreeOptions } from '../git/port.ts'
export { redact } from '../git/failure.ts'
export { mirroredStack, type MirroredStack, type MirrorProblem, type SyncResult } from './types.ts'
export { MirrorSync, type MirrorMemory, type MirrorSyncComponents, type MirrorSyncInit, type SyncOptions } from './push-loop.ts'
export { inspectMirror, type Inspection } from './inspect.ts'
export { restoreMirror, type Quarantined, type RestoreComponents, type RestoreOptions, type RestoredContent, type RestoredMirror, type RosterVerdict } from './restore.ts'
export { renderEntry, renderStack } from './render.ts'
