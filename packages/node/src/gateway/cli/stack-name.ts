/**
 * What a git worktree says of its stack: `.stack/stack.json`, which the first write makes so that every clone and every later rename
 * agree, and the address at `origin`. Which stack that is, the node knows: see stack-of.ts.
 */
import { execFile } from 'node:child_process'
import { constants, existsSync, type Stats } from 'node:fs'
import { lstat, open } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { codeOf, ElderError, STACK_NAME } from '@elder-node/protocol'
import { replaceFile } from '../../adapters/replace-file.ts'

const run = promisify(execFile)

export interface WorktreeStack {
  root: string
  /** Its .stack/stack.json. */
  file: string
  /** What that file says. */
  recorded: string | undefined
  /** The user id that owns the file, when it is neither this user's nor root's. */
  foreign: number | undefined
  /** The address of the repository at `origin`. */
  origin: string | undefined
  /** Records a name, when the file records none. */
  remember (stack: string): Promise<void>
}

/** Larger is no file of ours: one name in a line of JSON. */
const BYTES_MAX = 4096
/** Longer is no address that anybody wrote. */
const ADDRESS_CHARS_MAX = 2048
/** A symlink may lead anywhere, and a pipe or a device never ends. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** @throws ElderError `STACK_UNKNOWN` outside of a git worktree, `STACK_FILE` for a file that does not say a name */
export async function worktreeStack (cwd: string): Promise<WorktreeStack> {
  const root = worktree(cwd)
  if (root === undefined) throw unknown(`${cwd} is not inside a git worktree`)
  const file = join(root, '.stack', 'stack.json')
  const found = await readRecorded(file)
  const url = await origin(root)
  if (found === undefined && url === undefined) throw unknown(`the repository at ${root} has no remote "origin" and no .stack/stack.json`)
  return {
    root, file, recorded: found?.stack, foreign: found?.foreign, origin: url,
    remember: async stack => { if (found === undefined) await record(file, stack) },
  }
}

/** An archived stack may answer to `<name>@<mesh>`. @throws ElderError `USAGE` */
export function stackNamed (text: string): string {
  if (STACK_NAME.test(text.split('@')[0] ?? '')) return text
  const near = text.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 64)
  throw new ElderError('USAGE', `"${text.slice(0, 80)}" is not a name of a stack: lower-case letters, digits, ".", "_" and "-", at most 64`, `Call it ${near === '' ? 'my-repo' : near}.`)
}

function worktree (from: string): string | undefined {
  for (let at = from; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at
    if (dirname(at) === at) return undefined
  }
}

async function readRecorded (file: string): Promise<{ stack: string, foreign: number | undefined } | undefined> {
  await demandFolder(file)
  const handle = await open(file, FLAGS).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw refused(file, codeOf(error) === 'ELOOP' ? 'is a symlink' : `cannot be read (${codeOf(error)})`)
  })
  if (handle === undefined) return undefined
  try {
    const found = await handle.stat()
    if (!found.isFile() || found.size > BYTES_MAX) throw refused(file, found.isFile() ? `holds more than ${BYTES_MAX} bytes` : 'is no regular file')
    const stack = nameIn(await handle.readFile('utf8'))
    if (stack === undefined) throw refused(file, 'names no stack')
    return { stack, foreign: foreignOwner(found) }
  } finally {
    await handle.close()
  }
}

/** Through a `.stack` that is a symlink the name would be read from, and written to, any folder. */
async function demandFolder (file: string): Promise<void> {
  const found = await lstat(dirname(file)).catch(() => undefined)
  if (found !== undefined && !found.isDirectory()) throw refused(dirname(file), 'is no folder')
}

function nameIn (text: string): string | undefined {
  try {
    const name = (JSON.parse(text) as { stack?: unknown } | null)?.stack
    return typeof name === 'string' && STACK_NAME.test(name) ? name : undefined
  } catch {
    return undefined
  }
}

/** Root may write anywhere anyway; below sudo the files of the one who called it are one's own. Undefined on Windows. */
function foreignOwner ({ uid }: Stats): number | undefined {
  const self = process.getuid?.()
  const caller = self === 0 ? Number(process.env['SUDO_UID'] ?? 0) : 0
  return self === undefined || [self, caller, 0].includes(uid) ? undefined : uid
}

async function origin (root: string): Promise<string | undefined> {
  try {
    const { stdout } = await run('git', ['-C', root, 'config', '--get', 'remote.origin.url'], { timeout: 10_000 })
    const url = stdout.trim()
    return url === '' || url.length > ADDRESS_CHARS_MAX ? undefined : /^\.\.?(\/|$)/.test(url) ? resolve(root, url) : url
  } catch {
    return undefined
  }
}

async function record (file: string, stack: string): Promise<void> {
  await replaceFile(file, `${JSON.stringify({ schema: 'elder/stack-file.v1', stack }, null, 2)}\n`)
}

function refused (file: string, why: string): ElderError {
  return new ElderError('STACK_FILE', `${file} ${why}`, 'Write {"stack":"my-repo"} into it, or name the stack in the command.')
}

function unknown (why: string): ElderError {
  return new ElderError('STACK_UNKNOWN', `no stack is named and ${why}`, 'Name it in the command, as in: elder-node stack show my-repo   (or write {"stack":"my-repo"} to .stack/stack.json)')
}
