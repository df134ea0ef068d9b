/** Where a node's data and its control socket are. Loads next to nothing: every command starts here. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { dataDirAt, dataDirPath } from '../adapters/data-dir.ts'

/** `flag`: what the same place needs in another command, ` --dir <path>` or nothing. */
export interface Location { dir: string, socket: string, log: string, flag: string }

/** `--dir`, else `ELDER_NODE_DIR`, else the XDG state directory; the socket moves to a short name when its path is too long. */
export function locate (flag: string | undefined, env: NodeJS.ProcessEnv): Location {
  const { root, socket, log } = dataDirAt(dataDirPath(flag, env), env)
  return { dir: root, socket, log, flag: flag === undefined ? '' : ` --dir ${/^[\w./@+,:-]+$/.test(root) ? root : `'${root.replaceAll("'", "'\\''")}'`}` }
}

/** True once this directory is part of a mesh. */
export function hasMesh (dir: string): boolean {
  const { mesh } = dataDirAt(dir)
  return ['mesh.cbor', 'roster.log'].some((name) => existsSync(join(mesh, name)))
}
