/**
 * Feeds on disk.
 *
 * @packageDocumentation
 */
export { Handles, type HandlesInit } from './handles.ts'
export { pooledIo } from './pooled-io.ts'
export { FsFeedStore, type FsFeedStoreInit } from './store.ts'
export type { Io, LogFile } from './io.ts'
