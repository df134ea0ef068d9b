/** Copies that share no inode with their source: by reflink where the file system has it. Never hard links, owners or setuid bits. */
import { constants } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { platform } from 'node:os'
import { dirname, join } from 'node:path'
import { runTool } from './run-tool.ts'

const PATHS_PER_CALL = 200

/** Copies `paths` (relative, files or whole folders) from one folder below another, with their parents. Symlinks stay symlinks. */
export async function copyPaths (from: string, to: string, paths: string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += PATHS_PER_CALL) {
    const some = paths.slice(at, at + PATHS_PER_CALL)
    if (platform() === 'linux') await runTool('cp', ['-RP', '--preserve=mode,timestamps', '--reflink=auto', '--parents', '-t', to, '--', ...some], { cwd: from })
    else for (const path of some) await copyPortable(join(from, path), join(to, path))
  }
}

async function copyPortable (from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE })
}

/** Takes setuid and setgid from everything below: a copy made by root must not carry them. */
export async function dropSetuid (dir: string): Promise<void> { await runTool('chmod', ['-R', 'ug-s', '.'], { cwd: dir }) }

/** Bytes on disk. */
export async function diskBytes (dir: string): Promise<number> { return 1024 * Number.parseInt(await runTool('du', ['-sk', '.'], { cwd: dir }), 10) }
