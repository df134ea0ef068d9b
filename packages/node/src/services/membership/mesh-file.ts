/** `mesh.cbor`: which mesh this directory belongs to, and the key of its outer wall. Its presence says that this device got in. */
import { decode, encode, MalformedError, meshKey, toBase32, ElderError, type MeshId } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'

export interface StoredMesh { mesh: MeshId, meshSecret: Uint8Array }

const FILE = 'mesh.cbor'

/** Undefined when this device is in no mesh. @throws ElderError `MESH_DAMAGED` */
export function readMesh (files: PrivateFiles): StoredMesh | undefined {
  const bytes = files.read(FILE)
  if (bytes === undefined) return undefined
  try {
    const value = decode(bytes, 1024)
    const [version, mesh, meshSecret] = Array.isArray(value) ? value : []
    if (version !== 1 || !(mesh instanceof Uint8Array) || mesh.length !== 16 || !(meshSecret instanceof Uint8Array) || meshSecret.length !== 32) throw new MalformedError('not a mesh file')
    return { mesh: toBase32(mesh) as MeshId, meshSecret: new Uint8Array(meshSecret) }
  } catch (error) {
    throw new ElderError('MESH_DAMAGED', `${FILE} in the data directory cannot be read: ${(error as Error).message}`, 'Restore it from a backup, or move the data directory away and join again.')
  }
}

export function writeMesh (files: PrivateFiles, { mesh, meshSecret }: StoredMesh): void {
  files.replace(FILE, encode([1, meshKey(mesh), meshSecret]))
}
