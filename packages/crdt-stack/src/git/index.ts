/**
 * Git remotes for the mirror: the port, native git behind it, isomorphic-git for devices without it, and a small git server.
 *
 * @packageDocumentation
 * @example
 * ```ts
 * import { openNativeGit, serveGit } from '@elder-node/crdt-stack/git'
 *
 * const server = await serveGit({ root: './remotes' })
 * const url = await server.create('memory.git')
 * const git = await openNativeGit({ dir: './cache', url }, { signal: AbortSignal.timeout(10_000) })
 * ```
 */
export * from './port.ts'
export { redact } from './failure.ts'
export { isPathRemote, type GitProfile } from './profiles.ts'
export { nativeGitWorks, runGit, startGit, type GitCall, type GitEnd, type GitOutput, type RunningGit } from './run.ts'
export { checkRemote } from './remote-check.ts'
export { openNativeGit } from './native.ts'
export type { NativeGitInit } from './native.ts'
export { openIsomorphicGit } from './isomorphic.ts'
export type { IsomorphicGitInit } from './isomorphic.ts'
export { serveGit } from './http-backend.ts'
export type { GitServer, GitServerInit } from './http-backend.ts'
