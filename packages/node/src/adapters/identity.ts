import { statSync } from 'node:fs'
import { deviceId, ElderError, type DeviceId, type Signer } from '@elder-node/protocol'
import type { RandomBytes } from '../ports/host.ts'
import { signerFromSeed } from './crypto.ts'
import { makePrivateDir, readIfThere, writeAtomic } from './files.ts'
import { dirname } from 'node:path'

/** Who this device is. */
export interface Identity {
  device: DeviceId
  signer: Signer
  /** Ed25519 seed, 32 bytes: for the transport's handshake, `generateKeyPairFromSeed('Ed25519', seed)`. Never leaves the process. */
  seed: Uint8Array
}

/**
 * Reads the key of this device, or makes one on the first start.
 *
 * @param path the key file: 32 raw bytes, mode 0600, in a directory of mode 0700
 * @throws ElderError `KEY_READABLE` when others may read it, `KEY_DAMAGED` when it does not hold a key
 */
export function openIdentity (path: string, random: RandomBytes): Identity {
  const seed = readKey(path) ?? makeKey(path, random)
  const signer = signerFromSeed(seed)
  return { device: deviceId(signer.publicKey), signer, seed }
}

function readKey (path: string): Uint8Array | undefined {
  const seed = readIfThere(path)
  if (seed === undefined) return undefined
  refuseReadable(path, '600')
  refuseReadable(dirname(path), '700')
  if (seed.length !== 32) {
    throw new ElderError('KEY_DAMAGED', `${path} does not hold a device key: it has ${seed.length} bytes instead of 32.`, 'Restore it from a backup, or move the data directory away and join again as a new device.', { path })
  }
  return seed
}

function makeKey (path: string, random: RandomBytes): Uint8Array {
  makePrivateDir(dirname(path))
  refuseReadable(dirname(path), '700')
  writeAtomic(path, random(32))
  return readIfThere(path) as Uint8Array
}

/** Whoever can read the key is this device. Windows has no such bits: there the user's profile protects it. */
function refuseReadable (path: string, mode: string): void {
  if (process.platform === 'win32' || (statSync(path).mode & 0o077) === 0) return
  throw new ElderError('KEY_READABLE', `Other users of this machine may read ${path}, and with it become this device.`, `chmod ${mode} ${path}`, { path })
}
