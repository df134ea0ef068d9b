/** What a build is, as it travels from requester to builder. Validated and bounded before anything is done with it. */
import * as v from 'valibot'
import { encode, type Value } from '../codec/cbor.ts'
import { utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import type { BuildId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { traceparentSchema } from '../trace/schema.ts'
import { isGitsOwn } from './names.ts'

export interface BuildSpec {
  build: BuildId
  source: {
    /** 40 hex digits. */
    commit: string
    project: string
    /** Relative to the tree root, `.` for the root. */
    cwd: string
  }
  command: string[]
  prepare: string | null
  /** Globs relative to the tree root: what comes back. */
  outputs: string[]
  env: Record<string, string>
  memoryBytes: number | null
  cpus: number | null
  /** Milliseconds the command may run on the builder. */
  deadlineMs: number | null
  sealed: boolean
  image: string | null
  agent: string | null
  /** W3C trace context: the requester's span of this build. */
  traceparent: string | null
}

const text = (max: number): v.GenericSchema<string> => v.pipe(v.string(), v.maxLength(max), v.check(s => !s.includes('\0'), 'a NUL byte'))
const relative = v.pipe(v.string(), v.minLength(1), v.maxLength(LIMITS.pathCharsMax), v.check(isInsideTree, 'a path that leaves the tree'))
const amount = v.nullable(v.pipe(v.number(), v.finite(), v.minValue(0)))
const IMAGE_DOMAIN = '(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?'
const IMAGE_PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*'
/** An image's name with its registry, tag and digest (grammar of the distribution project): groups name, tag, digest. */
export const IMAGE_REF: RegExp = new RegExp(`^(?!.{256})((?:${IMAGE_DOMAIN}/)?${IMAGE_PART}(?:/${IMAGE_PART})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`)
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/

const schema = v.strictObject({
  build: v.pipe(v.string(), v.regex(/^[a-z2-7]{26}$/)),
  source: v.strictObject({ commit: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)), project: v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]{1,128}$/)), cwd: relative }),
  command: v.pipe(v.array(text(LIMITS.commandCharsMax)), v.minLength(1), v.maxLength(LIMITS.commandArgsMax), v.check(args => (args[0] ?? '') !== '' && total(args) <= LIMITS.commandCharsMax, 'a command that is empty or too long')),
  prepare: v.nullable(text(LIMITS.commandCharsMax)),
  outputs: v.pipe(v.array(relative), v.maxLength(LIMITS.globsMax)),
  env: v.pipe(v.record(v.pipe(v.string(), v.regex(ENV_NAME)), text(LIMITS.commandCharsMax)), v.check(env => Object.keys(env).length <= LIMITS.envNamesMax, 'too many environment names')),
  memoryBytes: amount, cpus: amount, deadlineMs: v.nullable(v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(LIMITS.deadlineMsMax))),
  sealed: v.boolean(), image: v.nullable(v.pipe(v.string(), v.regex(IMAGE_REF, 'not the name of an image, as in node:24 or registry.example/owner/name:tag'))), agent: v.nullable(text(64)), traceparent: traceparentSchema,
})

/** @throws MalformedError with the place and the reason. */
export function parseSpec (value: Value): BuildSpec {
  const result = v.safeParse(schema, value)
  if (!result.success) throw new MalformedError(`not a build: ${v.getDotPath(result.issues[0]) ?? ''} ${result.issues[0].message}`)
  return result.output as BuildSpec
}

/** What goes in: the digest that the builder signs with its result, and that a result cache may go by. */
export function inputDigest (spec: BuildSpec, crypto: Crypto): Uint8Array {
  return crypto.sha256(utf8('elder/build/v1\0'), encode(spec))
}

/** Of a path or glob: relative, `/`-separated, without `..`, `.git` as a component, or a drive. */
export function isInsideTree (path: string): boolean {
  return !path.startsWith('/') && !/^[A-Za-z]:|\\|\0/.test(path) && path.split('/').every(part => part !== '..' && !isGitsOwn(part))
}

function total (args: string[]): number { return args.reduce((sum, arg) => sum + arg.length, 0) }
