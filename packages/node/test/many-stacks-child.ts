/** Writes one note to each of 200 stacks at once, as a node keeps them, and opens them again. */
import { join } from 'node:path'
import { FsFeedStore, Handles } from '@elder-node/crdt-stack/fs'
import { nodeCrypto, randomBytes, signerFromSeed } from '../src/adapters/crypto.ts'
import { descriptorBudget } from '../src/adapters/descriptors.ts'
import { privateFiles } from '../src/adapters/private-files.ts'
import { silent, verifyArchive } from './support/stacks.ts'
import { Stacks } from '../src/services/stacks.ts'

const dir = process.argv[2] as string
const handles = new Handles({ max: descriptorBudget().files })
const open = (): Promise<Stacks> => Stacks.open({
  crypto: nodeCrypto(), signer: signerFromSeed(new Uint8Array(32)), clock: { wallMs: () => Date.now(), monotonicMs: () => 0 }, random: randomBytes,
  files: privateFiles(dir), openStore: key => FsFeedStore.open(join(dir, key), { handles }), dropStore: async () => {}, mayWrite: () => true, cuts: () => new Map(), verifyArchive, log: silent,
})
const stacks = await open()
await Promise.all(Array.from({ length: 200 }, async (_, i) => await stacks.open(`s${i}`).add({ kind: 'note', title: 'x', body: '' })))
await stacks.close()
const again = await open()
const listed = again.list()
console.log(`${listed.length} stacks, ${listed.reduce((sum, { entries }) => sum + entries, 0)} entries, problems: ${again.problems().length}`)
process.exit(0)
