/**
 * Where an eviction cuts: before a device is evicted, everybody who is connected is asked how far it knows that device's feeds.
 * Later the same is asked for what lies beyond the cut, which brings it back.
 *
 * heads := {device, beyond?: true} -> {heads: [[stack, [hash, ...]], ...]}      stack: 16 bytes, hash: 32
 *
 * These are the newest records of the device's feeds, or with `beyond` the heads that its cut leaves out.
 *
 * Partial answers are fine: what nobody here knew of is beyond the cut. The request is the admins' alone.
 */
import { compareBytes, deviceId, fromBase32, LIMITS, MalformedError, toBase32, toHex, type Cut, type DeviceId, type StackId, type Value } from '@elder-node/protocol'
import type { Mesh } from '../../ports/mesh.ts'
import { mapOf } from './wire.ts'

/** What a device holds of another one: per stack the hashes of the newest records that the other wrote. */
export type HeadsOf = (device: DeviceId) => Promise<Map<StackId, Uint8Array[]>>

export interface CutsComponents { mesh: Mesh, headsOf: HeadsOf,
  /** The same of an evicted device, beyond its cut: read from the disk. */
  headsBeyond: HeadsOf }
export interface CutsInit {
  /** How long the other devices may take to answer, milliseconds. @default 3000 */
  answerMs?: number
}

/** Stacks that only others know of: what was made in the last seconds. */
const FOREIGN_STACKS_MAX = 256
/** Hash and framing of one head, and of one stack, in an answer. */
const HEAD_BYTES = 34
const STACK_BYTES = 24
/** What left the state is looked for on the disk. */
const READ_MS = 20_000

export class Cuts {
  readonly #mesh: Mesh
  readonly #headsOf: HeadsOf
  readonly #headsBeyond: HeadsOf
  readonly #answerMs: number

  /** Registers its handler: before the mesh starts. */
  constructor ({ mesh, headsOf, headsBeyond }: CutsComponents, { answerMs = 3000 }: CutsInit = {}) {
    this.#mesh = mesh
    this.#headsOf = headsOf
    this.#headsBeyond = headsBeyond
    this.#answerMs = answerMs
    const gate = { role: 'admin', concurrencyMax: 2, deadlineMs: READ_MS } as const
    mesh.onRequest('heads', gate, (_from, message) => this.#answer(message))
  }

  /** The heads that this device and those that are connected know of `device`, together. Never rejects: who does not answer is left out. */
  async collect (device: DeviceId): Promise<Cut[]> {
    return await this.#together(device, this.#headsOf, {}, this.#answerMs)
  }

  /** The same of an evicted device, of what its cuts leave out: none of `known`, which the cuts name. */
  async collectBeyond (device: DeviceId, known: ReadonlyMap<StackId, ReadonlySet<string>>): Promise<Cut[]> {
    const found = await this.#together(device, this.#headsBeyond, { beyond: true }, READ_MS)
    const isKnown = (stack: StackId, head: string): boolean => known.get(stack)?.has(head) === true
    const fresh = found.map(({ stack, heads }) => ({ stack, heads: heads.filter(head => !isKnown(stack, head)) }))
    return fresh.filter(({ heads }) => heads.length > 0)
  }

  async #together (device: DeviceId, own: HeadsOf, asked: Record<string, Value>, ms: number): Promise<Cut[]> {
    const signal = AbortSignal.timeout(ms)
    const message = { device: fromBase32(device) as Uint8Array, ...asked }
    const others = this.#mesh.peers().map(peer => peer.device).filter(other => other !== device)
    const theirs = others.map(other => this.#mesh.request(other, 'heads', message, { signal }).then(headsIn))
    const answers = await Promise.allSettled([own(device), ...theirs])
    return union(answers.map(answer => answer.status === 'fulfilled' ? answer.value : new Map<StackId, Uint8Array[]>()))
  }

  async #answer (message: Value): Promise<Value> {
    const { device, beyond } = mapOf(message)
    if (!(device instanceof Uint8Array)) throw new MalformedError('heads are asked of a device key')
    const heads = await (beyond === true ? this.#headsBeyond : this.#headsOf)(deviceId(device))
    let bytes = 0
    const fits = (hashes: Uint8Array[]): boolean => (bytes += STACK_BYTES + HEAD_BYTES * hashes.length) <= LIMITS.syncPageBytes
    return { heads: [...heads].map(([stack, hashes]) => [fromBase32(stack) as Uint8Array, hashes.slice(0, LIMITS.cutHeadsMax)] as [Uint8Array, Uint8Array[]]).filter(([, hashes]) => fits(hashes)) }
  }
}

/** @throws MalformedError */
function headsIn (answer: Value): Map<StackId, Uint8Array[]> {
  const { heads } = mapOf(answer)
  if (!Array.isArray(heads) || heads.length > LIMITS.stacksMax) throw new MalformedError('heads are a bounded array')
  return new Map(heads.map(item => {
    const [stack, hashes] = Array.isArray(item) && item.length === 2 ? item : []
    if (!(stack instanceof Uint8Array) || stack.length !== 16 || !Array.isArray(hashes) || hashes.length > LIMITS.cutHeadsMax || !hashes.every(isHash)) throw new MalformedError('heads are [stack, hashes]')
    return [toBase32(stack) as StackId, hashes]
  }))
}

function isHash (value: Value): value is Uint8Array { return value instanceof Uint8Array && value.length === 32 }

function keyOf ({ stack }: Cut): Uint8Array { return fromBase32(stack) as Uint8Array }

/**
 * Rising, as they are signed. Of more than a cut may name everybody's first heads stay, then everybody's second; and of stacks that this device
 * does not know of, the others add a bounded number. So no member alone keeps the heads of others out, or makes an eviction too large to write.
 */
function union (answers: Array<Map<StackId, Uint8Array[]>>): Cut[] {
  const [own] = answers
  const stacks = new Set([...own?.keys() ?? [], ...inTurn(answers.map(answer => [...answer.keys()].filter(stack => own?.has(stack) !== true))).slice(0, FOREIGN_STACKS_MAX)])
  const cuts = [...stacks].map(stack => ({ stack, heads: inTurn(answers.map(answer => (answer.get(stack) ?? []).map(toHex))).slice(0, LIMITS.cutHeadsMax).sort() }))
  return cuts.sort((a, b) => compareBytes(keyOf(a), keyOf(b)))
}

/** Each once: the first of every list, then the second, and so on. */
function inTurn<T> (lists: T[][]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return [...new Set(Array.from({ length: longest }, (_, i) => lists.flatMap(list => list.slice(i, i + 1))).flat())]
}
