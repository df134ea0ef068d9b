/**
 * The one API that the CLI (and later HTTP and MCP) speak to a running node: `elder/control.v1`.
 *
 * One connection per call over the node's Unix socket, one JSON document per line:
 *
 *     client -> { schema, method, params }
 *     node   -> { result } | { error } | { event }* ( { end: true } | { error } )
 *
 * Closing the connection cancels the call, so Ctrl-C needs no message of its own. The socket is the owner's (mode 0600);
 * its input is bounded and validated all the same.
 */
import * as v from 'valibot'
import { ElderError } from '../errors.ts'
import { STACK_NAME } from '../ids.ts'
import { LIMITS } from '../limits.ts'

export const CONTROL_SCHEMA = 'elder/control.v1'

export const CONTROL_LIMITS = {
  /** One request line: a body of 200 KiB, escaped by JSON. */
  requestBytesMax: 1_048_576,
  /** One reply line: the manifest of a build with 100,000 outputs. Lists of entries travel one per line. */
  replyBytesMax: 67_108_864,
  /** A connection that says nothing is closed after this time. */
  requestMsMax: 10_000,
} as const

type Empty = Record<string, never>
type Named = 'observer' | 'member' | 'builder' | 'admin'
interface BuildParams {
  /** `command` may stand in `.elder.json` instead. */
  source: string, command?: string[], image?: string, sealed?: boolean, exclusive?: boolean, waitMs?: number, prepare?: string, outputs?: string[], to?: string, on?: string, env?: Record<string, string>
  memoryBytes?: number, cpus?: number, deadlineMs?: number, local?: 'auto' | 'never' | 'only', strictOutputs?: boolean, force?: boolean, dryRun?: boolean, agent?: string
  /** W3C trace context; what is none is ignored. */
  traceparent?: string
  /** The build outlives the connection. */
  detach?: boolean
}
interface EntryParams { kind: string, title: string, body?: string, tags?: string[], supersedes?: string }
interface PatchParams { title?: string, body?: string, tags?: string[], supersedes?: string | null }

/** What each method takes. Paths are absolute; ids may be prefixes, devices may be names. */
export interface ControlMethods {
  'status': Empty
  'devices': Empty
  'invite': { role?: Named, expiresMs?: number }
  'evict': { device: string, undo?: boolean, keep?: boolean }
  'evict.whom': { device: string, undo?: boolean, keep?: boolean }
  'diagnosis': Empty
  'promote': { device: string }
  'ping': { device: string, count?: number, intervalMs?: number }
  'leave': { force?: boolean }
  'build': BuildParams
  'builds.list': Empty
  'builds.events': { id: string, follow?: boolean }
  'builds.cancel': { id: string }
  'builds.why': { id: string }
  'stacks.list': { all?: boolean }
  'stack.place': { origin?: string, recorded?: string }
  'stack.add': { stack: string, entry: EntryParams, agent?: string, claim?: { origin: string, share?: boolean } }
  'stack.edit': { stack: string, id: string, patch: PatchParams, agent?: string, base?: string, overwrite?: boolean }
  'stack.rm': { stack: string, id: string, undo?: boolean, agent?: string }
  'stack.archive': { stack: string, undo?: boolean, agent?: string }
  'stack.removeAll': { stack: string, undo?: boolean, agent?: string }
  'stack.show': { stack: string, id?: string, at?: string, kind?: string, tag?: string }
  'stack.digest': { stack: string }
  'stack.remote.add': { stack: string, url: string }
  'stack.remote.list': Empty
  'stack.remote.rm': { stack: string, url: string }
  'stack.search': { query: string, stack?: string, all?: boolean, kind?: string, tag?: string, limit?: number }
  'stack.log': { stack: string, entry?: string, limit?: number }
  'stack.verify': { stack: string }
  'stack.sync': { stack?: string }
  'stack.restore': { url: string }
}
export type ControlMethod = keyof ControlMethods
export type ControlParams<M extends ControlMethod> = ControlMethods[M]
/** Methods that answer `event` lines and then `end`; every other one answers one `result`. */
export type ControlStream = 'build' | 'ping' | 'builds.events' | 'stack.show' | 'stack.log'
export type ControlCall = Exclude<ControlMethod, ControlStream>
/** One validated request; narrow on `method`. */
export type ControlRequest = { [M in ControlMethod]: { method: M, params: ControlMethods[M] } }[ControlMethod]

type Schema<T> = v.GenericSchema<unknown, T>
const text = (charsMax: number): Schema<string> => v.pipe(v.string(), v.minLength(1), v.maxLength(charsMax))
const body: Schema<string> = v.pipe(v.string(), v.maxLength(LIMITS.recordBytesMax))
const title: Schema<string> = v.pipe(v.string(), v.maxLength(LIMITS.titleCharsMax))
const path: Schema<string> = text(LIMITS.pathCharsMax)
const label: Schema<string> = text(128)
const url: Schema<string> = text(2048)
const positive: Schema<number> = v.pipe(v.number(), v.gtValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))
const rows: Schema<number> = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000))
const flag: Schema<boolean> = v.boolean()
/** A stack's name; an archived one may answer to `<name>@<mesh>`. */
const stack: Schema<string> = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9._-]{0,63}(@[A-Za-z0-9._-]{1,64})?$/, `a stack name matches ${STACK_NAME.source}`))
/** Parts of 16 characters: an entry has as many as devices that changed it at one time. */
const revision: Schema<string> = v.pipe(text(LIMITS.depsMax * 17), v.regex(/^[a-z2-7+]+$/, 'a revision is what `stack show` prints'))
const tags: Schema<string[]> = v.pipe(v.array(text(LIMITS.tagCharsMax)), v.maxLength(LIMITS.tagsMax))
const maybe = <T>(schema: Schema<T>): v.ExactOptionalSchema<Schema<T>, undefined> => v.exactOptional(schema)
const variable = v.pipe(v.string(), v.maxLength(256), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'an environment variable is named [A-Za-z_][A-Za-z0-9_]*'))
const environment: Schema<Record<string, string>> = v.pipe(
  v.record(variable, v.pipe(v.string(), v.maxLength(LIMITS.commandCharsMax))),
  v.check((env) => Object.keys(env).length <= LIMITS.envNamesMax, `at most ${LIMITS.envNamesMax} names`),
)
const command: Schema<string[]> = v.pipe(
  v.array(v.pipe(v.string(), v.maxLength(LIMITS.commandCharsMax))), v.minLength(1, 'a command is needed'), v.maxLength(LIMITS.commandArgsMax),
)
const none: Schema<Empty> = v.record(v.string(), v.never())

const SCHEMAS: { [M in ControlMethod]: Schema<ControlMethods[M]> } = {
  'status': none,
  'devices': none,
  'invite': v.strictObject({ role: maybe(v.picklist(['observer', 'member', 'builder', 'admin'])), expiresMs: maybe(positive) }),
  'evict': v.strictObject({ device: label, undo: maybe(flag), keep: maybe(flag) }),
  'evict.whom': v.strictObject({ device: label, undo: maybe(flag), keep: maybe(flag) }),
  'diagnosis': none,
  'promote': v.strictObject({ device: label }),
  'ping': v.strictObject({ device: label, count: maybe(positive), intervalMs: maybe(v.pipe(positive, v.maxValue(LIMITS.deadlineMsMax))) }),
  'leave': v.strictObject({ force: maybe(flag) }),
  'build': v.strictObject({
    source: path, command: maybe(command), image: maybe(text(512)), sealed: maybe(flag), exclusive: maybe(flag), waitMs: maybe(positive), prepare: maybe(text(LIMITS.commandCharsMax)),
    outputs: maybe(v.pipe(v.array(path), v.maxLength(LIMITS.globsMax))), to: maybe(path), on: maybe(label), env: maybe(environment),
    memoryBytes: maybe(positive), cpus: maybe(positive), deadlineMs: maybe(positive), local: maybe(v.picklist(['auto', 'never', 'only'])),
    strictOutputs: maybe(flag), force: maybe(flag), dryRun: maybe(flag), agent: maybe(label), detach: maybe(flag), traceparent: maybe(label),
  }),
  'builds.list': none,
  'builds.events': v.strictObject({ id: label, follow: maybe(flag) }),
  'builds.cancel': v.strictObject({ id: label }),
  'builds.why': v.strictObject({ id: label }),
  'stacks.list': v.strictObject({ all: maybe(flag) }),
  'stack.place': v.strictObject({ origin: maybe(url), recorded: maybe(stack) }),
  'stack.add': v.strictObject({
    stack, agent: maybe(label), claim: maybe(v.strictObject({ origin: url, share: maybe(flag) })),
    entry: v.strictObject({ kind: label, title, body: maybe(body), tags: maybe(tags), supersedes: maybe(label) }),
  }),
  'stack.edit': v.strictObject({
    stack, id: label, agent: maybe(label), base: maybe(revision), overwrite: maybe(flag),
    patch: v.strictObject({ title: maybe(title), body: maybe(body), tags: maybe(tags), supersedes: maybe(v.nullable(label)) }),
  }),
  'stack.rm': v.strictObject({ stack, id: label, undo: maybe(flag), agent: maybe(label) }),
  'stack.archive': v.strictObject({ stack, undo: maybe(flag), agent: maybe(label) }),
  'stack.removeAll': v.strictObject({ stack, undo: maybe(flag), agent: maybe(label) }),
  'stack.show': v.strictObject({ stack, id: maybe(label), at: maybe(revision), kind: maybe(label), tag: maybe(label) }),
  'stack.digest': v.strictObject({ stack }),
  'stack.remote.add': v.strictObject({ stack: v.union([stack, v.literal('--all')]), url }),
  'stack.remote.list': none,
  'stack.remote.rm': v.strictObject({ stack: v.union([stack, v.literal('--all')]), url }),
  'stack.search': v.strictObject({ query: text(512), stack: maybe(stack), all: maybe(flag), kind: maybe(label), tag: maybe(label), limit: maybe(rows) }),
  'stack.log': v.strictObject({ stack, entry: maybe(label), limit: maybe(rows) }),
  'stack.verify': v.strictObject({ stack }),
  'stack.sync': v.strictObject({ stack: maybe(stack) }),
  'stack.restore': v.strictObject({ url }),
}

const head = v.strictObject({ schema: v.literal(CONTROL_SCHEMA), method: v.string(), params: v.unknown() })

/** @throws ElderError `CONTROL_VERSION`, `NO_SUCH_METHOD`, `BAD_REQUEST` naming the parameter. */
export function parseControlRequest (value: unknown): ControlRequest {
  const request = v.safeParse(head, value)
  if (!request.success) {
    throw new ElderError('CONTROL_VERSION', `this node speaks ${CONTROL_SCHEMA}; the request does not`, 'Use the command of the same version as the running node.')
  }
  const { method } = request.output
  if (!Object.hasOwn(SCHEMAS, method)) {
    throw new ElderError('NO_SUCH_METHOD', `the running node has no method "${method.slice(0, 64)}"`, 'Restart the node with the version of this command.')
  }
  const params = v.safeParse(SCHEMAS[method as ControlMethod] as Schema<unknown>, request.output.params)
  if (!params.success) throw badParams(method, params.issues[0])
  return { method, params: params.output } as ControlRequest
}

function badParams (method: string, issue: v.BaseIssue<unknown>): ElderError {
  const where = v.getDotPath(issue) ?? 'params'
  return new ElderError('BAD_REQUEST', `${method}: ${where}: ${issue.message.slice(0, 300)}`, 'Check the value of that option; `--help` shows examples.', { parameter: where })
}
