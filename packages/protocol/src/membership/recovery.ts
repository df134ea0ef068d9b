/**
 * The recovery secret: the seed of the key that may make a new admin when all are lost. Shown once, kept on paper.
 *
 * text := "elder-recovery1" base32(seed checksum)      checksum := first 4 bytes of sha256("elder/recovery/v1\0" seed)
 */
import { equalBytes, fromBase32, toBase32, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { ElderError } from '../errors.ts'

const PREFIX = 'elder-recovery1'
const DOMAIN = utf8('elder/recovery/v1\0')

export function formatRecovery (seed: Uint8Array, crypto: Crypto): string {
  return PREFIX + toBase32(Uint8Array.from([...seed, ...checksum(seed, crypto)]))
}

/** The 32-byte seed. @throws ElderError `RECOVERY_MALFORMED` */
export function parseRecovery (text: string, crypto: Crypto): Uint8Array {
  const compact = text.slice(0, 1024).replace(/\s+/g, '').toLowerCase()
  const bytes = compact.startsWith(PREFIX) ? fromBase32(compact.slice(PREFIX.length)) : undefined
  const seed = bytes?.slice(0, 32)
  if (bytes?.length !== 36 || seed === undefined || !equalBytes(checksum(seed, crypto), bytes.subarray(32))) {
    throw new ElderError('RECOVERY_MALFORMED', 'This is not a recovery secret, or it is incomplete or mistyped.', `Type it as it was shown: it begins with "${PREFIX}".`)
  }
  return seed
}

function checksum (seed: Uint8Array, crypto: Crypto): Uint8Array { return crypto.sha256(DOMAIN, seed).subarray(0, 4) }
