/**
 * The stack a command means when none is named: `.stack/stack.json` of the git worktree, else the name of the repository at
 * `origin`, which the first write records in `.stack/stack.json` so that every clone and every later rename agree.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ElderError, STACK_NAME } from '@elder-node/protocol'
import { replaceFile } from '../../adapters/replace-file.ts'

const run = promisify(execFile)

export interface DefaultStack {
  name: string
  /** Records the name; does nothing when it came from the file. */
  remember (): Promise<void>
}

/** @throws ElderError `STACK_UNKNOWN` when nothing names a stack, `STACK_FILE` for a file that does not say one */
export async function defaultStack (cwd: string): Promise<DefaultStack> {
  const root = worktree(cwd)
  if (root === undefined) throw unknown(`${cwd} is not inside a git worktree`)
  const file = join(root, '.stack', 'stack.json')
  const recorded = await readRecorded(file)
  if (recorded !== undefined) return { name: recorded, remember: async () => {} }
  const name = nameOf(await origin(root))
  if (name === undefined) throw unknown(`the repository at ${root} has no remote "origin" and no .stack/stack.json`)
  return { name, remember: () => record(file, name) }
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

async function readRecorded (file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  let name: unknown
  try { name = (JSON.parse(text) as { stack?: unknown } | null)?.stack } catch { /* not JSON: said below, with the file's path */ }
  if (typeof name === 'string' && STACK_NAME.test(name)) return name
  throw new ElderError('STACK_FILE', `${file} names no stack`, 'Write {"stack":"my-repo"} into it, or name the stack in the command.')
}

async function origin (root: string): Promise<string | undefined> {
  try {
    const { stdout } = await run('git', ['-C', root, 'config', '--get', 'remote.origin.url'], { timeout: 10_000 })
    return stdout.trim()
  } catch {
    return undefined
  }
}

/** `git@host:me/My Repo.git` to `my-repo`. */
function nameOf (url: string | undefined): string | undefined {
  const last = url?.replace(/[/\\]+$/, '').split(/[/:\\]/).at(-1)?.replace(/\.git$/, '')
  const name = last?.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 64)
  return name !== undefined && STACK_NAME.test(name) ? name : undefined
}

async function record (file: string, stack: string): Promise<void> {
  await replaceFile(file, `${JSON.stringify({ schema: 'elder/stack-file.v1', stack }, null, 2)}\n`)
}

function unknown (why: string): ElderError {
  return new ElderError('STACK_UNKNOWN', `no stack is named and ${why}`, 'Name it in the command, as in: elder-node stack show my-repo   (or write {"stack":"my-repo"} to .stack/stack.json)')
}
