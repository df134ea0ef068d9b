/**
 * `mesh.cbor`: which mesh this device belongs to, the key of its outer wall, and the records that made this device a member. Its
 * presence says that the device got in. The records stand in `roster.log`, too; here they survive damage to it.
 */
import { codeOf, compareBytes, decode, deviceId, deviceKey, encode, LIMITS, MalformedError, meshKey, toBase32, ElderError, type DeviceId, type MeshId } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

export interface StoredMesh {
  mesh: MeshId
  meshSecret: Uint8Array
  /** Membership records, from the genesis to the one that lets this device in. */
  proof: Uint8Array[]
}

const MESH_FILE = 'mesh.cbor'
/** Of the proof: a chain of admins, each invited by the one before. */
export const PROOF_RECORDS_MAX = 64
const FILE_BYTES_MAX = 1024 + PROOF_RECORDS_MAX * (LIMITS.memberRecordBytesMax + 8)
const VERSION = 2

/** Undefined when this device is in no mesh. @throws ElderError `MESH_DAMAGED`, `DATA_MIXED` when another device wrote it, `STORE_OLD` */
export function readMesh (files: PrivateFiles, self: DeviceId): StoredMesh | undefined {
  const { device, ...stored } = tryRead(files) ?? {}
  if (device === undefined) return undefined
  if (compareBytes(device, deviceKey(self)) === 0) return stored as StoredMesh
  throw new ElderError(
    'DATA_MIXED', `${files.path(MESH_FILE)} and ${files.path('../device.key')} belong to two different devices.`,
    'Put back the file that was replaced, from a backup; or move the data directory away and join again.', { path: files.path(MESH_FILE) },
  )
}

/** The same with the device it belongs to, for who has no key to compare with. @throws as {@link readMesh} */
export function readOwner (files: PrivateFiles): StoredMesh & { device: DeviceId } | undefined {
  const found = tryRead(files)
  return found === undefined ? undefined : { ...found, device: deviceId(found.device) }
}

export function writeMesh (files: PrivateFiles, self: DeviceId, { mesh, meshSecret, proof }: StoredMesh): void {
  files.replace(MESH_FILE, encode([VERSION, meshKey(mesh), meshSecret, deviceKey(self), proof]))
}

function tryRead (files: PrivateFiles): StoredMesh & { device: Uint8Array } | undefined {
  try {
    const bytes = files.read(MESH_FILE)
    return bytes === undefined ? undefined : meshOf(bytes)
  } catch (error) {
    if (!(error instanceof MalformedError) && codeOf(error) !== 'FILE_DAMAGED') throw error
    throw meshDamaged(files, (error as Error).message)
  }
}

function meshOf (bytes: Uint8Array): StoredMesh & { device: Uint8Array } {
  const value = decode(bytes, FILE_BYTES_MAX)
  const [version, mesh, meshSecret, device, proof] = Array.isArray(value) ? value : []
  if (version !== VERSION || !isKey(mesh, 16) || !isKey(meshSecret, 32) || !isKey(device, 32) || !Array.isArray(proof)) throw new MalformedError('not a mesh file')
  const records = proof.filter(record => record instanceof Uint8Array)
  return { mesh: toBase32(mesh) as MeshId, meshSecret: new Uint8Array(meshSecret), device, proof: records }
}

function isKey (value: unknown, bytes: number): value is Uint8Array { return value instanceof Uint8Array && value.length === bytes }

function meshDamaged (files: PrivateFiles, why: string): ElderError {
  const path = files.path(MESH_FILE)
  return new ElderError('MESH_DAMAGED', why.startsWith(path) ? why : `${path} does not read: ${why}`, 'Restore it from a backup, or move the data directory away and join again.', { path })
}

/** Something of a mesh is there, and `mesh.cbor` is not: founding another mesh would hide what was lost. */
export function meshMissing (files: PrivateFiles, trace: string): ElderError {
  return new ElderError(
    'MESH_MISSING', `${files.path(MESH_FILE)} is missing, although ${trace} shows that this device belongs to a mesh.`,
    'Restore it from a backup; or on another device of the mesh: elder-node invite, and here: elder-node join <ticket>; or move the data directory away.', { path: files.path(MESH_FILE) },
  )
}
