/** What a node may answer on its control socket. Whoever answers there is not yet known to be a node: everything is checked. */
import * as v from 'valibot'
import { ElderError } from '../errors.ts'
import type { ControlMethod } from './api.ts'

/** One line of an answer. */
export type ControlReply = { result: unknown } | { event: unknown } | { end: true }

const short = v.pipe(v.string(), v.maxLength(65_536))
const failure = v.object({ error: v.object({ code: v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9_]{0,63}$/)), message: short, fix: short, data: v.exactOptional(v.record(v.string(), v.unknown())) }) })
const document = v.custom<object>(value => typeof value === 'object' && value !== null)
const reply = v.union([v.strictObject({ result: document }), v.strictObject({ event: document }), v.strictObject({ end: v.literal(true) })])

/** Methods whose result is a list. */
const LISTS: ReadonlySet<ControlMethod> = new Set(['devices', 'builds.list', 'stacks.list', 'stack.remote.list', 'stack.search', 'stack.sync', 'stack.restore'])

/** @throws ElderError what the node answered, or `CONTROL_VERSION` when it is no answer to that method */
export function parseControlReply (method: ControlMethod, line: unknown): ControlReply {
  const failed = v.safeParse(failure, line)
  if (failed.success) throw ElderError.fromJSON(failed.output.error as Parameters<typeof ElderError.fromJSON>[0])
  const answered = v.safeParse(reply, line)
  if (!answered.success || ('result' in answered.output && Array.isArray(answered.output.result) !== LISTS.has(method))) {
    throw new ElderError('CONTROL_VERSION', `what answers at the control socket gave no answer to ${method}`, 'Restart the node with the version of this command.')
  }
  return answered.output as ControlReply
}
