/**
 * Machines with a rule switched off, for the simulator. This entry point is in no published package:
 * see test/exports.test.ts and test/published/contents.mjs.
 *
 * @packageDocumentation
 */
export * from './rules.ts'
