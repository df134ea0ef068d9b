/**
 * What a git worktree says of its stack: `.stack/stack.json`, which the first write makes so that every clone and every later rename
 * agree, and the address at `origin`. Which stack that is, the node knows: see stack-of.ts.
 */
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ElderError, STACK_NAME } from '@elder-node/protocol'
import { FOREIGN_FILES, readForeignInside } from '../../adapters/foreign-files.ts'
import { specialFile } from '../../adapters/git-special-files.ts'
import { replaceFile } from '../../adapters/replace-file.ts'

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

const FILE = '.stack/stack.json'
const ASK_MS = 10_000
/** Longer is no address that anybody wrote. */
const ADDRESS_CHARS_MAX = 2048

/** @throws ElderError `STACK_UNKNOWN` outside of a git worktree, `STACK_FILE` for a file that does not say a name */
export async function worktreeStack (cwd: string, { deadlineMs = ASK_MS }: { deadlineMs?: number } = {}): Promise<WorktreeStack> {
  const root = worktree(cwd)
  if (root === undefined) throw unknown(`${cwd} is not inside a git worktree`)
  const file = join(root, FILE)
  const found = await readRecorded(root)
  // Git would open a pipe and wait for a writer that never comes.
  const special = await specialFile(root)
  if (found === undefined && special !== undefined) throw unknown(`the repository at ${root} cannot be read: ${special}`)
  const url = special === undefined ? await origin(root, AbortSignal.timeout(deadlineMs)) : undefined
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

async function readRecorded (root: string): Promise<{ stack: string, foreign: number | undefined } | undefined> {
  const found = await readForeignInside(root, FILE, FOREIGN_FILES.stackFile)
  if (found === undefined) return undefined
  if (found.odd !== undefined) throw refused(`${join(root, FILE)} was not read: ${found.odd}`)
  const stack = nameIn(found.bytes.toString())
  if (stack === undefined) throw refused(`${join(root, FILE)} names no stack`)
  return { stack, foreign: foreignOwner(found.uid) }
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
function foreignOwner (uid: number): number | undefined {
  const self = process.getuid?.()
  const caller = self === 0 ? Number(process.env['SUDO_UID'] ?? 0) : 0
  return self === undefined || [self, caller, 0].includes(uid) ? undefined : uid
}

/** A device without git, and a repository that git does not read, have no origin. */
async function origin (root: string, signal: AbortSignal): Promise<string | undefined> {
  // Loaded here: most commands name their stack.
  const { gitText } = await import('../../adapters/git-run.ts')
  const url = await gitText(['config', '--get', 'remote.origin.url'], { profile: 'foreign', cwd: root, signal, outputBytesMax: 65_536 }).catch(() => '')
  return url === '' || url.length > ADDRESS_CHARS_MAX ? undefined : /^\.\.?(\/|$)/.test(url) ? resolve(root, url) : url
}

async function record (file: string, stack: string): Promise<void> {
  await replaceFile(file, `${JSON.stringify({ schema: 'elder/stack-file.v1', stack }, null, 2)}\n`)
}

function refused (what: string): ElderError {
  return new ElderError('STACK_FILE', what, 'Write {"stack":"my-repo"} into it, or name the stack in the command.')
}

function unknown (why: string): ElderError {
  return new ElderError('STACK_UNKNOWN', `no stack is named and ${why}`, 'Name it in the command, as in: elder-node stack show my-repo   (or write {"stack":"my-repo"} to .stack/stack.json)')
}
