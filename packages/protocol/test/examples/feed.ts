import assert from 'node:assert/strict'
import { deviceId, encodeRecord, feedId, genesisHash, recordHash, signHead, stackId, verifyBatch } from '@elder-node/protocol'
import { crypto, newSigner } from './crypto.ts'

const signer = newSigner()
const stack = stackId('my-repo', crypto)
const feed = feedId(deviceId(signer.publicKey), new Uint8Array(8))

// One record, and one signature for it and everything before it.
const prev = genesisHash(stack, feed, crypto)
const record = encodeRecord({ seq: 1, prev, deps: [], at: 1_780_000_000_000 * 1024, agent: null, kind: 'note', body: 'hello' })
const batch = { feed, from: 1, records: [record], head: signHead(stack, feed, 1, recordHash(record, crypto), signer) }

// Somewhere else: throws MalformedError unless chain and signature hold.
const [read] = verifyBatch(stack, batch, crypto)
assert.equal(read?.body, 'hello')
