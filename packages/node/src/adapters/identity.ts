import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf, deviceId, ElderError, type DeviceId, type Signer } from '@elder-node/protocol'
import type { RandomBytes } from '../ports/host.ts'
import { signerFromSeed } from './crypto.ts'
import { makePrivateDir, readIfThere, writeAtomic } from './files.ts'
import { otherFormat } from './private-files.ts'
import { isSealed, seal, STORE_FORMAT, unseal } from './sealed.ts'

/** Who this device is. */
export interface Identity {
  device: DeviceId
  signer: Signer
  /** Ed25519 seed, 32 bytes: for the transport's handshake, `generateKeyPairFromSeed('Ed25519', seed)`. Never leaves the process. */
  seed: Uint8Array
}

/** A device key of version 0.1.0: the seed and nothing else. */
const OLD_KEY_BYTES = 32

export interface IdentityInit {
  /** Another file that only a device with a key has; a new key would not be the one that it belongs to. @default none */
  belongs?: string | undefined
}

/**
 * Reads the key of this device, or makes one on the first start.
 *
 * @param path the key file: a sealed seed of 32 bytes, mode 0600, in a directory of mode 0700
 * @throws ElderError `KEY_READABLE` when others may read it, `KEY_DAMAGED` when it does not hold a key, `KEY_MISSING` when there is
 * none although this device had one, `STORE_OLD` when an older version wrote it
 */
export function openIdentity (path: string, random: RandomBytes, { belongs }: IdentityInit = {}): Identity {
  const known = readKey(path)
  if (known === undefined && belongs !== undefined) throw missing(path, belongs)
  const seed = known ?? makeKey(path, random)
  const signer = signerFromSeed(seed)
  return { device: deviceId(signer.publicKey), signer, seed }
}

/** Whose key the file holds, whoever may read it; undefined when it holds none. */
export function keyHolder (path: string): DeviceId | undefined {
  try {
    const bytes = readIfThere(path)
    return bytes === undefined ? undefined : deviceId(signerFromSeed(keyIn(path, bytes)).publicKey)
  } catch {
    return undefined
  }
}

/** Why there is no key of this version in the file; null when there is, whoever may read it. */
export function keyFault (path: string): { code: string, message: string, fix: string } | null {
  try {
    const bytes = readIfThere(path)
    if (bytes !== undefined) keyIn(path, bytes)
    return null
  } catch (error) {
    return { code: codeOf(error), message: (error as Error).message, fix: (error as ElderError).fix ?? '' }
  }
}

function readKey (path: string): Uint8Array | undefined {
  const bytes = readIfThere(path)
  if (bytes === undefined) return undefined
  refuseReadable(path, '600')
  refuseReadable(dirname(path), '700')
  return keyIn(path, bytes)
}

function keyIn (path: string, bytes: Uint8Array): Uint8Array {
  const key = unseal(bytes)
  if ('damaged' in key) throw bytes.length === OLD_KEY_BYTES && !isSealed(bytes) ? otherFormat(path, 1) : keyDamaged(path, key.damaged)
  if (key.format !== STORE_FORMAT) throw otherFormat(path, key.format)
  if (key.content.length !== 32) throw keyDamaged(path, `it holds ${key.content.length} bytes instead of 32`)
  return key.content
}

function keyDamaged (path: string, why: string): ElderError {
  const fix = 'Restore it from a backup, or move the data directory away and join again as a new device.'
  return new ElderError('KEY_DAMAGED', `${path} does not hold a device key: ${why}. It is left as it is.`, fix, { path })
}

function missing (path: string, belongs: string): ElderError {
  return new ElderError(
    'KEY_MISSING', `${path} is missing, and ${belongs} belongs to the device whose key it was.`,
    'Restore device.key from a backup, or move the data directory away and join again as a new device.', { path },
  )
}

function makeKey (path: string, random: RandomBytes): Uint8Array {
  makePrivateDir(dirname(path))
  refuseReadable(dirname(path), '700')
  const seed = random(32)
  writeAtomic(path, seal(seed))
  return seed
}

/** Whoever can read the key is this device. Windows has no such bits: there the user's profile protects it. */
function refuseReadable (path: string, mode: string): void {
  if (process.platform === 'win32' || (statSync(path).mode & 0o077) === 0) return
  throw new ElderError('KEY_READABLE', `Other users of this machine may read ${path}, and with it become this device.`, `chmod ${mode} ${path}`, { path })
}
