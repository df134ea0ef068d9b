import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { stackId } from '@elder-node/protocol'
import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
import { crypto, newSigner } from './crypto.ts'

const open = async (): Promise<Stack> => await Stack.open(
  { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
  { id: stackId('my-repo', crypto), name: 'my-repo' },
)
const [laptop, pi] = [await open(), await open()]
await laptop.add({ kind: 'note', title: 'from the laptop' })
await pi.add({ kind: 'note', title: 'from the pi' })

// What one lacks, the other serves as signed batches; which way they travel does not matter.
for (const [to, from] of [[laptop, pi], [pi, laptop]] as const) {
  for (const head of from.vector()) {
    if (to.wants(head)) await to.receive([...from.path({ ...head, from: 1, to: head.seq })])
  }
}
assert.deepEqual(laptop.digest(), pi.digest())
await Promise.all([laptop.close(), pi.close()])
