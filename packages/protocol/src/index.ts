/**
 * What travels between the devices of a mesh, and what it means: pure, without I/O, clock or randomness.
 *
 * Bytes from outside are read by a decoder that bounds them first and throws {@link MalformedError}. Machines have the shape
 * `handle(input, now) -> effects`: their user turns effects into I/O. Hashing and signing come in as {@link Crypto}. The wire is
 * written in docs/PROTOCOL.md with the names used here; every bound stands in {@link LIMITS} with its reason.
 *
 * @example Hashing and signing, over `node:crypto`
 * ```ts
 * import { createHash, generateKeyPairSync, sign, verify, createPublicKey } from 'node:crypto'
 * import type { Crypto, Signer } from '@elder-node/protocol'
 *
 * const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
 *
 * export const crypto: Crypto = {
 *   sha256: (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest(),
 *   verify: (key, signature, message) => key.length === 32 &&
 *     verify(null, message, createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' }), signature),
 * }
 *
 * export function newSigner (): Signer {
 *   const { publicKey, privateKey } = generateKeyPairSync('ed25519')
 *   return { publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32), sign: message => sign(null, message, privateKey) }
 * }
 * ```
 *
 * @example A feed: write a record, and check it elsewhere
 * ```ts
 * import assert from 'node:assert/strict'
 * import { deviceId, encodeRecord, feedId, genesisHash, recordHash, signHead, stackId, verifyBatch } from '@elder-node/protocol'
 * import { crypto, newSigner } from './crypto.ts'
 *
 * const signer = newSigner()
 * const stack = stackId('my-repo', crypto)
 * const feed = feedId(deviceId(signer.publicKey), new Uint8Array(8))
 *
 * // One record, and one signature for it and everything before it.
 * const prev = genesisHash(stack, feed, crypto)
 * const record = encodeRecord({ seq: 1, prev, deps: [], at: 1_780_000_000_000 * 1024, agent: null, kind: 'note', body: 'hello' })
 * const batch = { feed, from: 1, records: [record], head: signHead(stack, feed, 1, recordHash(record, crypto), signer) }
 *
 * // Somewhere else: throws MalformedError unless chain and signature hold.
 * const [read] = verifyBatch(stack, batch, crypto)
 * assert.equal(read?.body, 'hello')
 * ```
 *
 * @example An election: the nearest of those that finish about as soon
 * ```ts
 * import assert from 'node:assert/strict'
 * import { rank, type DeviceId, type Prospect } from '@elder-node/protocol'
 *
 * const idle = { bytesMissing: 0, bandwidthBytesPerS: 1e7, queueWaitS: 0, bootS: 0, runS: 30, speed: 1, success: 1, unusedMs: 0 }
 * const near: Prospect = { ...idle, device: 'near' as DeviceId, rttMs: 2 }
 * const far: Prospect = { ...idle, device: 'far' as DeviceId, rttMs: 40 }
 * const busy: Prospect = { ...near, device: 'busy' as DeviceId, queueWaitS: 20 }
 *
 * const { order, why } = rank([far, busy, near], { recentBusy: false, explore: 0, random: () => 0 })
 * assert.deepEqual(order.map(({ device }) => device), ['near', 'far', 'busy'])
 * assert.match(why, /nearest of 2 within/)
 * ```
 *
 * @packageDocumentation
 */
export * from './errors.ts'
export * from './limits.ts'
export * from './ids.ts'
export * from './origin.ts'
export type * from './crypto.ts'
export * from './codec/cbor.ts'
export * from './codec/text.ts'
export * from './feed/record.ts'
export * from './feed/chain.ts'
export * from './feed/vector.ts'
export * from './feed/hlc.ts'
export * from './control/api.ts'
export * from './control/reply.ts'
export * from './membership/index.ts'
export * from './sync/index.ts'
export * from './latency/rtt.ts'
export { formatTraceparent, nextSpan, parseTraceparent, traceIdOf, type TraceContext } from './trace/traceparent.ts'
export * from './liveness/messages.ts'
export { TICK_MS } from './liveness/attention.ts'
export * from './liveness/detector.ts'
export * from './resources/advert.ts'
export * from './resources/capability.ts'
export * from './resources/table.ts'
export * from './election/messages.ts'
export * from './election/lease.ts'
export * from './election/slots.ts'
export * from './election/claim-effects.ts'
export * from './election/claim.ts'
export * from './election/history.ts'
export * from './election/score.ts'
export * from './election/candidates.ts'
export * from './election/image-hint.ts'
export * from './builds/globs.ts'
export { isGitsOwn } from './builds/names.ts'
export * from './builds/spec.ts'
export * from './builds/events.ts'
export * from './builds/inputs-effects.ts'
export type { HeldLease } from './builds/lease-watch.ts'
export * from './builds/machine.ts'
export * from './builds/outputs.ts'
