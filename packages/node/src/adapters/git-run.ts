/** git for sources of builds: the one way to run it (`crdt-stack/git`), in the words of a build. */
import { runGit as run, startGit as start, type GitCall, type GitOutput, type RunningGit } from '@elder-node/crdt-stack/git'
import { ElderError } from '@elder-node/protocol'

/** Attributes of a repository that never transforms content: the bytes of the work tree are the bytes of the blobs. */
export const RAW_ATTRIBUTES = '* -filter -text -ident -working-tree-encoding\n'

const CONFIG = ['core.autocrlf=false', 'core.safecrlf=false', 'core.splitIndex=false', 'core.longpaths=true', 'core.quotePath=false', 'advice.addEmbeddedRepo=false', 'pack.threads=1']
/** Of a command that reads a whole tree or history; a folder may hold a pipe that never says a word. */
const DEADLINE_MS = 600_000
/** Of a pack on its way over a slow line. */
export const PACK_DEADLINE_MS = 7_200_000

export interface GitOptions extends Omit<GitCall, 'args' | 'profile' | 'input'> {
  /** `foreign` for a repository of the user's. @default 'own' */
  profile?: 'foreign' | 'own'
  stdin?: string | Uint8Array
  /** Exit codes that are no failure besides 0. */
  allow?: number[]
}

export type GitResult = GitOutput

export function startGit (args: string[], options: GitOptions): RunningGit { return start(callOf(args, options)) }

/** Runs git to its end. @throws ElderError `GIT_FAILED` with what git said, `GIT_MISSING`, `SOURCE_TOO_LARGE` when that was too much */
export async function runGit (args: string[], options: GitOptions): Promise<GitResult> {
  const result = await run(callOf(args, options))
  const { code, stderr, timedOut, tooLong } = result
  if (tooLong) throw new ElderError('SOURCE_TOO_LARGE', `git ${args[0] ?? ''} listed more than ${options.outputBytesMax ?? 268_435_456} bytes`, 'Is this the project\'s folder? List what a build does not need in .gitignore.')
  if (timedOut) throw new ElderError('GIT_FAILED', `git ${args[0] ?? ''} was not done within ${(options.deadlineMs ?? DEADLINE_MS) / 1000} s`, 'Is the disk slow, or is a pipe or a device among the files? git status in the project shows the same.')
  if (code !== 0 && options.allow?.includes(code) !== true) throw gitFailed(args, code, stderr)
  return result
}

/** The trimmed text git prints. */
export async function gitText (args: string[], options: GitOptions): Promise<string> {
  return (await runGit(args, options)).stdout.toString().trim()
}

export function gitFailed (args: string[], code: number, stderr: string): ElderError {
  const said = stderr.split('\n').filter(line => line !== '' && !line.startsWith('hint:')).slice(0, 5).join('; ')
  return new ElderError('GIT_FAILED', `git ${args[0] ?? ''} ended with ${code}: ${said.slice(0, 1000)}`, 'Is the disk full? If the repository is the reason, git fsck names what is broken.')
}

function callOf (args: string[], { profile = 'own', stdin, config = [], allow: _allow, ...options }: GitOptions): GitCall {
  return { deadlineMs: DEADLINE_MS, ...options, profile, args, config: [...CONFIG, ...config], ...stdin === undefined ? {} : { input: stdin } }
}
