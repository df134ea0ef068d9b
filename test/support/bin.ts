import { fileURLToPath } from 'node:url'

/** What tests start as `elder-node`: the bundle of this run where the project makes one (program.ts), else this checkout as tsc built it. */
export const BIN: string = process.env['ELDER_TEST_BIN'] ?? fileURLToPath(new URL('../../packages/node/bin/elder-node.js', import.meta.url))
