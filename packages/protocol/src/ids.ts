/**
 * Names of things. A device is its Ed25519 public key; everything else is a hash or a random number.
 * In memory ids are strings (base32 or hex, safe as path components); on the wire they are bytes.
 */
import { compareBytes, fromBase32, fromHex, toBase32, toHex, utf8 } from './codec/text.ts'
import type { Crypto } from './crypto.ts'
import { ElderError, MalformedError } from './errors.ts'

/** Base32 of the 32-byte Ed25519 public key: 52 characters. */
export type DeviceId = string & { readonly __brand: 'DeviceId' }
/** Base32 of the first 16 bytes of the genesis record's hash: 26 characters. */
export type MeshId = string & { readonly __brand: 'MeshId' }
/** Base32 of the first 16 bytes of sha256(domain, stack name): 26 characters. The same name is the same stack in any mesh. */
export type StackId = string & { readonly __brand: 'StackId' }
/** `<device>-<incarnation as 16 hex digits>`. Unique within a stack. */
export type FeedId = string & { readonly __brand: 'FeedId' }
/** ULID: 26 characters of Crockford base32, time first; 42 for the second of two entries whose first 26 are alike. */
export type EntryId = string & { readonly __brand: 'EntryId' }
/** 26 characters of base32: 16 random bytes chosen by the requester. */
export type BuildId = string & { readonly __brand: 'BuildId' }

export const STACK_NAME: RegExp = /^[a-z0-9][a-z0-9._-]{0,63}$/
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}(?:[0-9A-HJKMNP-TV-Z]{16})?$/

export function deviceId (publicKey: Uint8Array): DeviceId {
  if (publicKey.length !== 32) throw new MalformedError('a device key has 32 bytes')
  return toBase32(publicKey) as DeviceId
}

export function deviceKey (id: DeviceId): Uint8Array {
  const key = fromBase32(id)
  if (key?.length !== 32) throw new MalformedError('not a device id')
  return key
}

/** @throws ElderError `STACK_NAME` when the name is not `[a-z0-9][a-z0-9._-]{0,63}`. */
export function stackId (name: string, crypto: Crypto): StackId {
  if (!STACK_NAME.test(name)) {
    throw new ElderError('STACK_NAME', `"${name}" is not a stack name: it must match ${STACK_NAME.source}`, 'Use lower-case letters, digits, dot, dash and underscore.')
  }
  return toBase32(crypto.sha256(utf8('elder/stack/v1\0'), utf8(name)).subarray(0, 16)) as StackId
}

export function feedId (device: DeviceId, incarnation: Uint8Array): FeedId {
  if (incarnation.length !== 8) throw new MalformedError('an incarnation has 8 bytes')
  return `${device}-${toHex(incarnation)}` as FeedId
}

/** 32 bytes of device key, 8 bytes of incarnation: how a feed id travels and sorts. */
export function feedKey (id: FeedId): Uint8Array {
  const device = fromBase32(id.slice(0, 52))
  const incarnation = fromHex(id.slice(53))
  if (device?.length !== 32 || incarnation?.length !== 8 || id[52] !== '-') throw new MalformedError('not a feed id')
  const key = new Uint8Array(40)
  key.set(device)
  key.set(incarnation, 32)
  return key
}

export function feedIdOf (key: Uint8Array): FeedId {
  if (key.length !== 40) throw new MalformedError('a feed key has 40 bytes')
  return feedId(deviceId(key.subarray(0, 32)), key.subarray(32))
}

/** The device that writes this feed. */
export function feedDevice (id: FeedId): DeviceId { return id.slice(0, 52) as DeviceId }

/** The order of feeds on the wire, in digests and in the mirror. */
export function compareFeeds (a: FeedId, b: FeedId): number { return compareBytes(feedKey(a), feedKey(b)) }

export function isEntryId (text: string): text is EntryId { return ULID.test(text) }

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** ULID from a wall-clock time (ms since 1970) and 10 random bytes. */
export function entryId (nowMs: number, random: Uint8Array): EntryId {
  if (random.length !== 10) throw new MalformedError('a ULID takes 10 random bytes')
  let time = ''
  for (let i = 0, rest = Math.floor(nowMs); i < 10; i++, rest = Math.floor(rest / 32)) time = CROCKFORD[rest % 32] + time
  let tail = ''
  let bits = 0
  let buffer = 0
  for (const byte of random) {
    buffer = ((buffer << 8) | byte) & 0xffff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      tail += CROCKFORD[(buffer >> bits) & 31]
    }
  }
  return (time + tail) as EntryId
}
