/** Every decoder that bytes from outside reach, with what is right for it, and seeded damage to that. */
import {
  batchOf, batchValue, BUCKET_BYTES, BUCKETS, decode, decodeAdvert, decodeBuilderFrame, decodeCanonical, decodeRecord, decodeRequestFrame, decodeSync, deviceOfAddress, ElderError,
  encode, encodeAdvert, encodeFrame, encodeOutputPart, encodeRecord, encodeSync, feedIdOf, feedKey, formatRecovery, formatTicket, fromBase32, headOf, LIMITS, liveOf, liveValue, memberRecordHash,
  openMemberRecord, OutputDecoder, parseClaimWord, parseControlRequest, parseRecovery, parseSpec, parseStackKey, parseTicket, peerIdOf, stackIdOf, toBase32, vectorOf, vectorValue, wantOf, wantValue,
  type Advert, type BuildId, type BuildSpec, type Crypto, type Value,
} from '../../src/index.ts'
import { crypto } from './crypto.ts'
import { idOf, MeshBook } from './mesh-book.ts'
import { damage, pick, randomBytes, twist, type Random } from './mutate.ts'
import { feedOf, keyOf } from '../sync/support.ts'

/** Signatures hold: what lies behind them must stand on its own. */
const trusting: Crypto = { sha256: crypto.sha256, verify: () => true }

const BUILD = 'a'.repeat(26) as BuildId
const HASH = new Uint8Array(32).fill(7)
const spec: BuildSpec = {
  build: BUILD, source: { commit: '0'.repeat(40), project: 'p', cwd: '.' }, command: ['npm', 'test'], prepare: 'npm ci', outputs: ['dist/**'], env: { CI: '1' },
  memoryBytes: 1, cpus: 2, deadlineMs: null, sealed: false, image: null, agent: 'a', traceparent: null,
}
const advert: Advert = {
  epoch: 1, seq: 2, version: '0.1.0', platform: 'linux/x64', engine: 'process', projects: ['abc'], images: [], cores: 4, load: 0.5, pressure: null, memory: { totalBytes: 2 ** 33, freeBytes: 2 ** 32 },
  disk: { totalBytes: 2 ** 40, freeBytes: 2 ** 39 }, slots: { total: 2, free: 1 }, queue: 0, expectedWaitS: 0, speed: 1, draining: false, coordinate: [1, 2, 3, 4, 5],
}
const { feed, batches } = feedOf('hostile', 'demo', [10, 20, 30])
const [batch] = batches as [typeof batches[0] & object]
const key = keyOf('demo')
const vector = [{ feed, seq: 3, hash: HASH }]
const book = new MeshBook()
const ticketRecord = book.ticket(0, 500)
book.redeem(0, ticketRecord, 500, 1, 'pi')
book.revoke(0, 1)
book.write(0, { type: 'revoke', subject: idOf(2), cuts: [{ stack: stackIdOf('demo', crypto), heads: ['07'.repeat(32)] }], undo: false })
const ticket = { mesh: book.mesh, meshSecret: HASH, addresses: [`/ip4/127.0.0.1/tcp/1/p2p/${peerIdOf(idOf(0))}`], seed: HASH, record: ticketRecord }

export interface Target { name: string, samples: Uint8Array[], read: (bytes: Uint8Array) => unknown }

/** A shape that arrives inside a larger message: bytes that do not decode never get to it. */
const inside = (name: string, samples: unknown[], read: (value: Value) => unknown): Target => ({ name, samples: samples.map(encode), read: bytes => read(decode(bytes, LIMITS.frameBytesMax)) })
const claim = { build: BUILD, fence: 1 }
export const TARGETS: Target[] = [
  { name: 'decode', samples: [encode(spec), encode([1, [2, { a: HASH }]])], read: bytes => decode(bytes, LIMITS.frameBytesMax) },
  { name: 'decodeCanonical', samples: [encode(spec), encode([1, [2, { a: HASH }]])], read: bytes => decodeCanonical(bytes, LIMITS.frameBytesMax) },
  { name: 'decodeRecord', samples: [encodeRecord({ seq: 2, prev: HASH, deps: [{ feed, seq: 1, hash: HASH }], at: 3, agent: 'a', kind: 'new', body: { id: 'x' } })], read: decodeRecord },
  inside('batchOf', [batchValue(batch)], batchOf),
  inside('headOf', [[3, HASH, new Uint8Array(64)]], headOf),
  inside('vectorOf', [vectorValue(vector)], vectorOf),
  inside('wantOf', [wantValue({ feed, from: 1, to: 9, hash: HASH })], wantOf),
  inside('liveOf', [liveValue(key, 'demo', batch), [key, 'demo', [feedKey(feed), 1, HASH]]], value => liveOf(value, trusting)),
  {
    name: 'decodeSync', read: bytes => decodeSync(bytes, trusting),
    samples: [
      encodeSync({ type: 'root', root: HASH }), encodeSync({ type: 'buckets', packed: new Uint8Array(BUCKETS * BUCKET_BYTES) }),
      encodeSync({ type: 'stacks', differing: HASH, stacks: [{ key, name: 'demo', digest: HASH }], more: false, traceparent: null }), encodeSync({ type: 'vectors', vectors: [{ key, name: 'demo', vector }], more: true }),
      encodeSync({ type: 'want', key, wants: [{ feed, from: 1, to: 9, hash: HASH }] }), encodeSync({ type: 'batches', key, answers: [batches, []] }), encodeSync({ type: 'ask', key }),
      encodeSync({ type: 'origin', key, records: [HASH], more: false }), encodeSync({ type: 'done', held: [{ key, digest: HASH }], more: false }),
    ],
  },
  { name: 'decodeAdvert', samples: [encodeAdvert(advert)], read: decodeAdvert },
  inside('parseClaimWord', [
    { type: 'claim', ...claim, needs: { memoryBytes: 1, cpus: null } }, { type: 'release', ...claim }, { type: 'bind', ...claim },
    { type: 'reserve', ...claim, needs: { memoryBytes: null, cpus: 1 }, lagMs: 20 }, { type: 'grant', ...claim, lease: '1.1', stamp: 1, ttlMs: 1 },
    { type: 'busy', ...claim, queue: 1, expectedWaitS: 1 }, { type: 'no', ...claim, reason: 'x' }, { type: 'reserved', ...claim, position: 0 }, { type: 'yes', ...claim }, { type: 'heard', ...claim }, { type: 'later', ...claim }, { type: 'gone', ...claim },
  ], parseClaimWord),
  inside('parseSpec', [spec], parseSpec),
  {
    name: 'decodeRequestFrame', read: decodeRequestFrame,
    samples: [encodeFrame({ type: 'open', lease: '1.1', fence: 1, attempt: 1, spec, logOffset: 0 }), encodeFrame({ type: 'source', ancestors: ['0'.repeat(40)] }), encodeFrame({ type: 'pack', data: HASH })],
  },
  {
    name: 'decodeBuilderFrame', read: decodeBuilderFrame,
    samples: [
      encodeFrame({ type: 'log', offset: 1, stream: 'stdout', data: HASH }), encodeFrame({ type: 'have', commits: null }), encodeFrame({ type: 'failed', code: 'X', message: 'm', fix: '' }),
      encodeFrame({
        type: 'result', signature: new Uint8Array(64), result: {
          build: BUILD, lease: '1.1', fence: 1, inputDigest: HASH, exitCode: 0, signal: null, reason: null, limit: null, timings: { sourceMs: 1, prepareMs: 1, bootMs: 1, runMs: 1, returnMs: 1 }, manifestDigest: HASH, unmatched: [], traceparent: null, leftOut: [],
        },
      }),
    ],
  },
  {
    name: 'OutputDecoder', read: bytes => new OutputDecoder().push(bytes),
    samples: [...encodeOutputPart({ type: 'file', file: { path: 'a/b', mode: 0o755, bytes: 3 } }), ...encodeOutputPart({ type: 'chunk', data: HASH }), ...encodeOutputPart({ type: 'end', manifest: [] })],
  },
  { name: 'openMemberRecord', samples: book.records.map(({ bytes }) => bytes), read: bytes => openMemberRecord(bytes, trusting) },
  // The body is a byte string in its record: damage must reach what it says.
  { name: 'openMemberRecord, body', samples: book.records.map(({ bytes }) => (decode(bytes, 4096) as Value[])[0] as Uint8Array), read: body => openMemberRecord(encode([body, new Uint8Array(64)]), trusting) },
  { name: 'memberRecordHash', samples: book.records.map(({ bytes }) => bytes), read: bytes => memberRecordHash(bytes, trusting) },
  { name: 'parseTicket', samples: [fromBase32(formatTicket(ticket, crypto).slice(6))?.slice(0, -4) as Uint8Array], read: payload => parseTicket(`elder1${toBase32(Uint8Array.from([...payload, ...crypto.sha256(Buffer.from('elder/ticket/v1\0'), payload).subarray(0, 4)]))}`, 1, trusting) },
  { name: 'parseTicket, text', samples: [Buffer.from(formatTicket(ticket, crypto))], read: bytes => parseTicket(Buffer.from(bytes).toString('latin1'), 1, crypto) },
  { name: 'parseRecovery', samples: [Buffer.from(formatRecovery(HASH, crypto))], read: bytes => parseRecovery(Buffer.from(bytes).toString('latin1'), crypto) },
  inside('parseControlRequest', [
    { schema: 'elder/control.v1', method: 'build', params: { source: '/x', command: ['a'], env: { A: 'b' }, outputs: ['x'] } },
    { schema: 'elder/control.v1', method: 'stack.edit', params: { stack: 's', id: 'x', patch: { title: 't', tags: ['a'], supersedes: null } } },
  ], parseControlRequest),
  inside('parseStackKey', [key, `${key}@${book.mesh}`], parseStackKey),
  inside('feedIdOf', [feedKey(feed)], value => feedIdOf(value instanceof Uint8Array ? value : new Uint8Array(0))),
  inside('deviceOfAddress', ticket.addresses, value => deviceOfAddress(String(value))),
]
export const INPUTS_PER_TARGET = 1000
export const SEED = 20261121

/** Bytes from outside: right ones damaged, or the value in them twisted. */
export function input (random: Random, samples: Uint8Array[]): Uint8Array {
  const sample = pick(random, samples)
  const way = random()
  if (way < 0.1) return randomBytes(random, Math.floor(random() * 200))
  if (way < 0.45) return damage(random, sample)
  if (way < 0.55) return damage(random, damage(random, sample))
  try {
    return encode(twist(random, decode(sample, LIMITS.frameBytesMax)))
  } catch {
    return damage(random, sample)
  }
}

/** `read`, `refused`, or whatever must not happen. */
export function outcome (target: Target, bytes: Uint8Array): string {
  try {
    target.read(bytes)
    return 'read'
  } catch (error) {
    return error instanceof ElderError ? 'refused' : `${String(error)}: ${Buffer.from(bytes).toString('hex').slice(0, 400)}`
  }
}

