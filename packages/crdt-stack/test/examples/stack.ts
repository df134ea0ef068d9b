import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { stackId } from '@elder-node/protocol'
import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
import { crypto, newSigner } from './crypto.ts'

const stack = await Stack.open(
  { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
  { id: stackId('my-repo', crypto), name: 'my-repo' },
)
const { id } = await stack.add({ kind: 'decision', title: 'Storage', body: 'Plain files.\nNo database.\n' }, { agent: 'planner' })
await stack.edit(id, { body: 'Plain files, synced.\nNo database.\n', tags: ['storage'] })

assert.equal(stack.entry(id)?.author.agent, 'planner')
assert.deepEqual(stack.entries({ tag: 'storage' }).map(entry => entry.title), ['Storage'])
await stack.close()
