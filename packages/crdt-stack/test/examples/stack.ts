import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { stackId } from '@elder-node/protocol'
import { MemoryFeedStore, Stack } from '@elder-node/crdt-stack'
import { crypto, newSigner } from './crypto.ts'

const stack = await Stack.open(
  { store: new MemoryFeedStore(), crypto, signer: newSigner(), wallMs: () => Date.now(), random: randomBytes },
  { id: stackId('my-repo', crypto), name: 'my-repo' },
)
const { id, revision } = await stack.add({ kind: 'decision', title: 'Storage', body: 'Plain files.\nNo database.\n' }, { agent: 'planner' })
// Somebody else's text is changed by saying which one was read: what was written since then would stay.
await stack.edit(id, { body: 'Plain files, synced.\nNo database.\n', tags: ['storage'] }, {}, { base: revision })

assert.equal(stack.entry(id)?.author.agent, 'planner')
assert.deepEqual(stack.entries({ tag: 'storage' }).map(entry => entry.title), ['Storage'])
await stack.close()
