/** Copies that share no inode with their source: by reflink where the file system has it. Never hard links, owners or setuid bits. */
import { constants } from 'node:fs'
import { cp, mkdir, open } from 'node:fs/promises'
import { platform } from 'node:os'
import { dirname, join } from 'node:path'
import { runTool, type ToolOptions } from './run-tool.ts'

const PATHS_PER_CALL = 200

/**
 * Copies `paths` (relative, files or whole folders) from one folder below another, with their parents. Symlinks stay symlinks.
 *
 * @param options.uid - Who reads and writes, and must own `to`, though not be able to come to it: it is handed in as an open folder. @default this process's user
 */
export async function copyPaths (from: string, to: string, paths: string[], { uid, signal }: { uid?: number | undefined, signal?: AbortSignal } = {}): Promise<void> {
  if (uid === undefined) return await copyAs(from, to, paths, { signal })
  const handle = await open(to, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await copyAs(from, '/proc/self/fd/3', paths, { uid, file: handle.fd, signal })
  } finally {
    await handle.close()
  }
}

async function copyAs (from: string, to: string, paths: string[], options: ToolOptions): Promise<void> {
  for (let at = 0; at < paths.length; at += PATHS_PER_CALL) {
    options.signal?.throwIfAborted()
    const some = paths.slice(at, at + PATHS_PER_CALL)
    if (platform() === 'linux') await runTool('cp', ['-RP', '--preserve=mode,timestamps', '--reflink=auto', '--parents', '-t', to, '--', ...some], { ...options, cwd: from })
    else for (const path of some) await copyPortable(join(from, path), join(to, path))
  }
}

async function copyPortable (from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE })
}

/** Takes setuid and setgid from everything below: a copy made by root must not carry them. */
export async function dropSetuid (dir: string, signal?: AbortSignal): Promise<void> { await runTool('chmod', ['-R', 'ug-s', '.'], { cwd: dir, signal }) }

/** Bytes on disk. */
export async function diskBytes (dir: string, signal?: AbortSignal): Promise<number> {
  return 1024 * Number.parseInt(await runTool('du', ['-sk', '.'], { cwd: dir, signal }), 10)
}
