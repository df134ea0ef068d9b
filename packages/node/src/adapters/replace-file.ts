/** Files that others read while they are written: there is the old one or the new one, never half of one. Survives no power cut; `writeAtomic` of files.ts does. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Of mode 0644; makes the folder too. */
export async function replaceFile (path: string, content: string | Uint8Array): Promise<void> {
  const fresh = `${path}.${process.pid}.new`
  await mkdir(dirname(path), { recursive: true })
  try {
    await writeFile(fresh, content, { mode: 0o644 })
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { force: true })
    throw error
  }
}
