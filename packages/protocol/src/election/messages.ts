/**
 * The words between a requester and a builder before a build runs. `fence` names one claim of one build: it rises strictly with
 * every claim the requester makes, so it is the nonce of the claim and the fencing token of what comes of it.
 */
import * as v from 'valibot'
import type { Value } from '../codec/cbor.ts'
import { MalformedError } from '../errors.ts'
import type { BuildId } from '../ids.ts'
import { traceparentSchema } from '../trace/schema.ts'

/** What the build will take from the builder: checked against its ceilings before a slot is given. */
export type ClaimNeeds = { memoryBytes: number | null, cpus: number | null }

export type ClaimMessage =
  /** `traceparent`: of the build, so that the builder's log can be found by it before the spec is there. */
  | { type: 'claim', build: BuildId, fence: number, needs: ClaimNeeds, traceparent?: string | null }
  /** `lagMs`: how late the requester's event loop was lately, so that its answers are waited for. */
  | { type: 'reserve', build: BuildId, fence: number, needs: ClaimNeeds, lagMs: number, traceparent?: string | null }
  | { type: 'release', build: BuildId, fence: number }
  /** Builder to requester: a slot is free. Do you still want it? */
  | { type: 'bind', build: BuildId, fence: number }
  /** Requester to builder, after `bind`: give it to me. Answered by `grant` or `gone`; nothing is opened before `grant`. */
  | { type: 'yes', build: BuildId, fence: number }

export type ClaimReply =
  | { type: 'grant', build: BuildId, fence: number, lease: string, stamp: number, ttlMs: number }
  | { type: 'busy', build: BuildId, fence: number, queue: number, expectedWaitS: number }
  | { type: 'no', build: BuildId, fence: number, reason: string }
  | { type: 'reserved', build: BuildId, fence: number, position: number }
  | { type: 'released', build: BuildId, fence: number }
  /** To `bind`: the answer comes as `yes`; another builder is being answered, so ask again later. */
  | { type: 'heard' | 'later', build: BuildId, fence: number }
  /** To `bind`: it is wanted no more. To `yes`: the slot went to somebody else, and the reservation stays. */
  | { type: 'gone', build: BuildId, fence: number }

export type ClaimWord = ClaimMessage | ClaimReply

const FENCE_MAX = 1_000_000
const build = v.pipe(v.string(), v.regex(/^[a-z2-7]{26}$/)) as unknown as v.GenericSchema<BuildId>
const fence = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(FENCE_MAX))
const lease = v.pipe(v.string(), v.minLength(1), v.maxLength(64))
const amount = v.pipe(v.number(), v.finite(), v.minValue(0))
const needs = v.strictObject({ memoryBytes: v.nullable(amount), cpus: v.nullable(amount) })

const schema: v.GenericSchema<unknown, ClaimWord> = v.variant('type', [
  v.strictObject({ type: v.literal('claim'), build, fence, needs, traceparent: v.exactOptional(traceparentSchema) }),
  v.strictObject({ type: v.literal('reserve'), build, fence, needs, lagMs: amount, traceparent: v.exactOptional(traceparentSchema) }),
  v.strictObject({ type: v.picklist(['release', 'bind', 'yes', 'heard', 'later', 'gone', 'released']), build, fence }),
  v.strictObject({ type: v.literal('grant'), build, fence, lease, stamp: amount, ttlMs: amount }),
  v.strictObject({ type: v.literal('busy'), build, fence, queue: amount, expectedWaitS: amount }),
  v.strictObject({ type: v.literal('no'), build, fence, reason: v.pipe(v.string(), v.maxLength(512)) }),
  v.strictObject({ type: v.literal('reserved'), build, fence, position: amount }),
])

/** @throws MalformedError unless the value is one of {@link ClaimWord}, within bounds. */
export function parseClaimWord (value: Value): ClaimWord {
  const result = v.safeParse(schema, value)
  if (!result.success) throw new MalformedError(`not a claim message: ${result.issues[0].message}`)
  return result.output
}

/** The answer to a word about a claim that is over: a slot that nobody wants any more goes back at once. */
export function strayAnswer (word: ClaimWord): ClaimWord | undefined {
  const { build, fence } = word
  if (word.type === 'grant') return { type: 'release', build, fence }
  if (word.type === 'bind') return { type: 'gone', build, fence }
  return undefined
}
