/** Copies that share no inode with their source: by reflink where the file system has it. Never hard links, owners or setuid bits. */
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { platform } from 'node:os'
import { dirname, join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

const PATHS_PER_CALL = 200

/** Copies `paths` (relative, files or whole folders) from one folder below another, with their parents. Symlinks stay symlinks. */
export async function copyPaths (from: string, to: string, paths: string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += PATHS_PER_CALL) {
    const some = paths.slice(at, at + PATHS_PER_CALL)
    if (platform() === 'linux') await run('cp', ['-RP', '--preserve=mode,timestamps', '--reflink=auto', '--parents', '-t', to, '--', ...some], from)
    else for (const path of some) await copyPortable(join(from, path), join(to, path))
  }
}

async function copyPortable (from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE })
}

/** Takes setuid and setgid from everything below: a copy made by root must not carry them. */
export async function dropSetuid (dir: string): Promise<void> { await run('chmod', ['-R', 'ug-s', '.'], dir) }

/** Bytes on disk. */
export async function diskBytes (dir: string): Promise<number> { return 1024 * Number.parseInt(await run('du', ['-sk', '.'], dir), 10) }

async function run (program: string, args: string[], cwd: string): Promise<string> {
  const child = spawn(program, args, { cwd, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  let said = ''
  child.stdout.on('data', (data: Buffer) => { out += data.toString() })
  child.stderr.on('data', (data: Buffer) => { said = (said + data.toString()).slice(0, 1000) })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(out)
      else reject(new ElderError('COPY_FAILED', `${program} ended with ${code}: ${said.trim()}`, 'Is the disk full?'))
    })
  })
}
