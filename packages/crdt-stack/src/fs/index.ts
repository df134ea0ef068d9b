/**
 * Feeds on disk.
 *
 * @packageDocumentation
 */
export { FsFeedStore, type FsFeedStoreInit } from './store.ts'
export type { Io, LogFile } from './io.ts'
