/**
 * Feeds on disk.
 *
 * @packageDocumentation
 */
export { Handles, type HandlesInit } from './handles.ts'
export { FsFeedStore, type FsFeedStoreInit } from './store.ts'
