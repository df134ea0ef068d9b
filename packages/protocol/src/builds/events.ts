/**
 * The frames of a build stream, and of a prefetch stream (source only). Each is one canonical CBOR map with a `type`, bounded by
 * LIMITS.frameBytesMax. Bytes of packs, logs and outputs are chunks of at most LIMITS.chunkBytesMax.
 */
import * as v from 'valibot'
import { decode, encode, type Value } from '../codec/cbor.ts'
import { utf8 } from '../codec/text.ts'
import type { Crypto, Signer } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { deviceKey, type BuildId, type DeviceId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { traceparentSchema } from '../trace/schema.ts'
import { parseSpec, type BuildSpec } from './spec.ts'

/** What travels from requester to builder. */
export type RequestFrame =
  /** First frame. `logOffset`: bytes of log already here, so a second stream goes on where the first broke. */
  | { type: 'open', lease: string, fence: number, attempt: number, spec: BuildSpec, logOffset: number }
  /** First frame of a stream that only brings source ahead of a slot. */
  | { type: 'prefetch', project: string, commit: string }
  | { type: 'source', ancestors: string[] }
  | { type: 'pack', data: Uint8Array }
  | { type: 'pack-end' }
  | { type: 'echo', stamp: number }
  | { type: 'cancel' }
  /** The result and every output are here and accepted. */
  | { type: 'received' }

export interface BuildTimings { sourceMs: number, prepareMs: number, bootMs: number, runMs: number, returnMs: number }

/** What a builder's owner lets builds reach; `none`: nothing, not even their prepare command. */
export type BuildNetwork = 'full' | 'none'

/** Bounds of `leftOut`. */
export const LEFT_OUT = { max: 32, charsMax: 256 } as const

export interface ManifestFile { path: string, bytes: number, sha256: string, mode: number }

/** What the builder signs. */
export interface BuildResult {
  build: BuildId
  lease: string
  fence: number
  inputDigest: Uint8Array
  exitCode: number
  signal: string | null
  /** Why the builder ended the command: a limit or the deadline. */
  reason: 'memory' | 'pids' | 'disk' | 'deadline' | null
  /** The limit that was hit: bytes, processes, or milliseconds of the deadline. */
  limit: number | null
  timings: BuildTimings
  /** sha256 over the canonical manifest. */
  manifestDigest: Uint8Array
  /** Globs that matched nothing. */
  unmatched: string[]
  /** The builder's span of the trace that came with the spec. */
  traceparent: string | null
  /** What the globs match and no output can be, one sentence each: symlinks, pipes, unreadable folders. Cut where it is long. */
  leftOut: string[]
}

/** What travels from builder to requester. */
export type BuilderFrame =
  /** `network`: what the builder's owner allows builds, sealed or not. */
  | { type: 'attached', resumed: boolean, engine: string, note: string, network: BuildNetwork }
  /** Which of the ancestors are here; null: the commit itself is here, send nothing. */
  | { type: 'have', commits: string[] | null }
  | { type: 'source-ready' }
  | { type: 'phase', phase: 'sending' | 'preparing' | 'running' | 'returning', message: string }
  /** `offset`: bytes of log before this piece, of both streams together. A gap says that the ring dropped its middle. */
  | { type: 'log', offset: number, stream: 'stdout' | 'stderr', data: Uint8Array }
  | { type: 'stamp', stamp: number }
  /** One encoded OutputPart. */
  | { type: 'output', part: Uint8Array }
  | { type: 'result', result: BuildResult, signature: Uint8Array }
  /** The builder could not run it, and nothing of it runs any more. */
  | { type: 'failed', code: string, message: string, fix: string }

const count = v.pipe(v.number(), v.finite(), v.minValue(0))
const commit = v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/))
const commits = v.pipe(v.array(commit), v.maxLength(64))
const project = v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]{1,128}$/))
const lease = v.pipe(v.string(), v.minLength(1), v.maxLength(64))
const bytes = (max: number): v.GenericSchema<Uint8Array> => v.pipe(v.instance(Uint8Array), v.check(b => b.length <= max, 'too many bytes'))
const text = (max: number): v.GenericSchema<string> => v.pipe(v.string(), v.maxLength(max))
const chunk = bytes(LIMITS.chunkBytesMax)
const hash = v.pipe(v.instance(Uint8Array), v.check(b => b.length === 32, 'a hash'))

const requestSchema = v.variant('type', [
  v.strictObject({ type: v.literal('open'), lease, fence: count, attempt: count, spec: v.record(v.string(), v.unknown()), logOffset: count }),
  v.strictObject({ type: v.literal('prefetch'), project, commit }),
  v.strictObject({ type: v.literal('source'), ancestors: commits }),
  v.strictObject({ type: v.literal('pack'), data: chunk }),
  v.strictObject({ type: v.literal('pack-end') }),
  v.strictObject({ type: v.literal('echo'), stamp: count }),
  v.strictObject({ type: v.literal('cancel') }),
  v.strictObject({ type: v.literal('received') }),
])

const result = v.strictObject({
  build: v.pipe(v.string(), v.regex(/^[a-z2-7]{26}$/)), lease, fence: count, inputDigest: hash,
  exitCode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)), signal: v.nullable(text(16)),
  reason: v.nullable(v.picklist(['memory', 'pids', 'disk', 'deadline'])), limit: v.nullable(count),
  timings: v.strictObject({ sourceMs: count, prepareMs: count, bootMs: count, runMs: count, returnMs: count }),
  traceparent: traceparentSchema, manifestDigest: hash, unmatched: v.pipe(v.array(text(LIMITS.pathCharsMax)), v.maxLength(LIMITS.globsMax)),
  leftOut: v.pipe(v.array(text(LEFT_OUT.charsMax)), v.maxLength(LEFT_OUT.max)),
})

const builderSchema = v.variant('type', [
  v.strictObject({ type: v.literal('attached'), resumed: v.boolean(), engine: text(32), note: text(512), network: v.picklist(['full', 'none']) }),
  v.strictObject({ type: v.literal('have'), commits: v.nullable(commits) }),
  v.strictObject({ type: v.literal('source-ready') }),
  v.strictObject({ type: v.literal('phase'), phase: v.picklist(['sending', 'preparing', 'running', 'returning']), message: text(512) }),
  v.strictObject({ type: v.literal('log'), offset: count, stream: v.picklist(['stdout', 'stderr']), data: chunk }),
  v.strictObject({ type: v.literal('stamp'), stamp: count }),
  v.strictObject({ type: v.literal('output'), part: bytes(LIMITS.frameBytesMax) }),
  v.strictObject({ type: v.literal('result'), result, signature: v.pipe(v.instance(Uint8Array), v.check(b => b.length === 64, 'a signature')) }),
  v.strictObject({ type: v.literal('failed'), code: text(64), message: text(4096), fix: text(1024) }),
])

export function encodeFrame (frame: RequestFrame | BuilderFrame): Uint8Array { return encode(frame) }

/** @throws MalformedError */
export function decodeRequestFrame (frame: Uint8Array): RequestFrame {
  const parsed = v.safeParse(requestSchema, decode(frame, LIMITS.frameBytesMax))
  if (!parsed.success) throw new MalformedError(`not a frame of a requester: ${parsed.issues[0].message}`)
  return parsed.output.type === 'open' ? { ...parsed.output, spec: parseSpec(parsed.output.spec as Value) } : parsed.output
}

/** @throws MalformedError */
export function decodeBuilderFrame (frame: Uint8Array): BuilderFrame {
  const parsed = v.safeParse(builderSchema, decode(frame, LIMITS.frameBytesMax))
  if (!parsed.success) throw new MalformedError(`not a frame of a builder: ${parsed.issues[0].message}`)
  return parsed.output as BuilderFrame
}

const RESULT = utf8('elder/result/v1\0')

export function manifestDigest (manifest: ManifestFile[], crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8('elder/manifest/v1\0'), encode(manifest.map(file => [file.path, file.bytes, file.sha256, file.mode])))
}

/** The builder's word for a result, bound to its lease, its fence, what went in and what came out. */
export function signResult (result: BuildResult, crypto: Crypto, signer: Signer): Uint8Array {
  return signer.sign(crypto.sha256(RESULT, encode(result)))
}

export function verifyResult (builder: DeviceId, result: BuildResult, signature: Uint8Array, crypto: Crypto): boolean {
  return crypto.verify(deviceKey(builder), signature, crypto.sha256(RESULT, encode(result)))
}
