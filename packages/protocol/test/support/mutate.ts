/** Seeded damage: to bytes, and to the value that the bytes stand for. A run is named by its seed. */
import { encode, type Value } from '../../src/index.ts'

export type Random = () => number

export const below = (random: Random, max: number): number => Math.floor(random() * max)
export const pick = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)] as T
export const randomBytes = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => below(random, 256))

/** Flips, cuts, doubles, inserts and lies about lengths. */
export function damage (random: Random, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return randomBytes(random, 8)
  const at = below(random, bytes.length + 1)
  switch (below(random, 6)) {
    case 0: return bytes.slice(0, at)
    case 1: return Uint8Array.from([...bytes, ...randomBytes(random, 1 + below(random, 8))])
    case 2: return Uint8Array.from([...bytes.subarray(0, at), ...randomBytes(random, 1 + below(random, 8)), ...bytes.subarray(at)])
    case 3: return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(below(random, bytes.length + 1))])
    case 4: return bytes.with(Math.min(at, bytes.length - 1), pick(random, [0x1b, 0x3b, 0x5b, 0x7b, 0x9b, 0xbb, 0x9f, 0xbf, 0xdb, 0xf7, 0xfb, 0xff]))
    default: return bytes.with(Math.min(at, bytes.length - 1), below(random, 256))
  }
}

const deep = (levels: number): Value => levels === 0 ? null : [deep(levels - 1)]
const ODD: readonly Value[] = [
  null, true, false, 0, 1, -1, 1.5, 2 ** 31, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, '', 'x', '\0', '..', '/etc/passwd', '__proto__', 'x'.repeat(5000), '\u202e',
  new Uint8Array(0), new Uint8Array(16), new Uint8Array(32), new Uint8Array(40), new Uint8Array(64).fill(255), [], [[]], [null, null, null], {}, { type: 'claim' }, deep(60),
  JSON.parse('{"__proto__": {"type": "claim"}, "constructor": 1}') as Value, Array.from({ length: 300 }, () => 0),
]

/** The same value with one part of it replaced, left out or doubled: what a peer sends that speaks the format and lies. */
export function twist (random: Random, value: Value): Value {
  if (random() < 0.15 || value === null || typeof value !== 'object' || value instanceof Uint8Array) return pick(random, ODD)
  if (Array.isArray(value)) return twistArray(random, value)
  const keys = Object.keys(value)
  const key = keys.length === 0 || random() < 0.1 ? pick(random, ['type', 'x', '__proto__']) : pick(random, keys)
  const copy = Object.fromEntries(Object.entries(value))
  if (random() < 0.15) delete copy[key]
  else Object.defineProperty(copy, key, { value: twist(random, copy[key] ?? null), enumerable: true, configurable: true, writable: true })
  return copy
}

function twistArray (random: Random, value: Value[]): Value[] {
  const at = below(random, Math.max(1, value.length))
  if (random() < 0.1) return value.toSpliced(at, 1)
  if (random() < 0.1) return [...value, value[at] ?? null]
  return value.length === 0 ? [pick(random, ODD)] : value.with(at, twist(random, value[at] as Value))
}

export function twisted (random: Random, value: Value): Uint8Array { return encode(twist(random, value)) }
