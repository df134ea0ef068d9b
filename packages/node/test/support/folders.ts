/** Small folders of text files on disk. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

/** Writes files below a folder; null removes one. */
export async function putFiles (dir: string, files: Record<string, string | null>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true })
    await (text === null ? rm(join(dir, path)) : writeFile(join(dir, path), text))
  }
}

/** Path to text of every regular file below a folder; none when it is not there. */
export async function filesBelow (dir: string): Promise<Record<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  const texts = await Promise.all(paths.map(path => readFile(path, 'utf8')))
  return Object.fromEntries(paths.map((path, i) => [relative(dir, path), texts[i] as string]))
}
