/**
 * The one place that starts git. Every call says whose repository it looks at ({@link GitProfile}), and has a signal, a deadline
 * and bounded output; git and all that it starts are one process group, which ends together.
 */
import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams, type SpawnOptionsWithStdioTuple } from 'node:child_process'
import { existsSync } from 'node:fs'
import { totalmem } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { codeOf, ElderError } from '@elder-node/protocol'
import { gitEnvironment, gitSettings, type GitProfile } from './profiles.ts'

export interface GitCall {
  profile: GitProfile
  args: string[]
  signal: AbortSignal
  /** @default the root of the file system: nothing is found there by chance */
  cwd?: string
  /** The bare repository, absolute. */
  gitDir?: string
  /** More environment: `GIT_DIR`, `GIT_INDEX_FILE`, … */
  env?: Record<string, string>
  /** More settings, `name=value`. */
  config?: readonly string[]
  /** Reads the person's own settings. @default for every profile but `own` */
  personal?: boolean
  input?: string | Uint8Array
  /** @default 120_000 */
  deadlineMs?: number
  /** Bytes of stdout kept before the command is ended. @default 268_435_456: a listing of a million paths */
  outputBytesMax?: number
  /** Memory git may take; only where the system has prlimit. @default 256 MiB for a foreign tree, of which little is asked, else {@link MEMORY_BYTES_MAX} */
  memoryBytesMax?: number
}

export interface GitEnd { code: number, /** Its beginning. */ stderr: string, timedOut: boolean }
export interface GitOutput extends GitEnd { stdout: Buffer, /** It printed more than it may, and was ended. */ tooLong: boolean }

export interface RunningGit {
  stdin: Writable
  stdout: Readable
  /** Settles when the process is gone. Rejects with the signal's reason, with `GIT_MISSING`, and with `EXHAUSTED`. */
  end: Promise<GitEnd>
  kill (): void
}

/** An object may unpack to a thousand times its size, and a file of a repository may be `/dev/zero`. */
const MEMORY_BYTES_MAX: number = Math.min(2 * 2 ** 30, Math.floor(totalmem() / 2))
const FOREIGN_MEMORY_BYTES_MAX = 268_435_456
/** Of git while it lists the branches of a remote, which it holds all at once: more than two million of them fit. */
export const LIST_MEMORY_BYTES_MAX = 268_435_456
const STDERR_CHARS_MAX = 65_536
const KILL_GRACE_MS = 1_000
/** Of a start that failed for want of descriptors, processes or memory: whether there is a git, nobody knows then. */
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'])
const PRLIMIT = ['/usr/bin/prlimit', '/bin/prlimit'].find(path => existsSync(path))

/** Starts git; the caller feeds and reads it. @throws the signal's reason, and `EXHAUSTED` */
export function startGit (call: GitCall): RunningGit {
  call.signal.throwIfAborted()
  const where = call.gitDir === undefined ? [] : ['--git-dir', call.gitDir]
  const limit = PRLIMIT === undefined ? [] : [PRLIMIT, `--data=${call.memoryBytesMax ?? (call.profile === 'foreign' ? FOREIGN_MEMORY_BYTES_MAX : MEMORY_BYTES_MAX)}`]
  const [program = 'git', ...args] = [...limit, 'git', ...gitSettings(call.profile, call.config), ...where, ...call.args]
  const env = { ...gitEnvironment(call.profile, call.personal), ...call.env }
  // A session of its own: no terminal that ssh could ask on, and one group to end.
  const child = attemptSpawn(program, args, { env, cwd: call.cwd ?? '/', detached: true, windowsHide: true, stdio: ['pipe', 'pipe', 'pipe'] }, call)
  // Without a file descriptor to spare there are no pipes, and the error comes a moment later.
  child.on('error', () => {})
  if ((child as Partial<typeof child>).stdin === undefined) throw notStarted(call, new Error('this process has too many files open'), true)
  child.stdin.on('error', () => {}) // it may exit before it read everything: the exit code says why
  const kill = killer(child)
  const end = ended(child, kill, call)
  end.catch(() => {})
  return { stdin: child.stdin, stdout: child.stdout, end, kill }
}

/** Runs git to its end, whatever its exit code. @throws the signal's reason, `GIT_MISSING`, and `EXHAUSTED` */
export async function runGit (call: GitCall): Promise<GitOutput> {
  const { outputBytesMax = 268_435_456 } = call
  const git = startGit(call)
  const chunks: Buffer[] = []
  let bytes = 0
  git.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > outputBytesMax) git.kill()
    else chunks.push(chunk)
  })
  git.stdin.end(call.input ?? '')
  const end = await git.end
  return { ...end, stdout: Buffer.concat(chunks), tooLong: bytes > outputBytesMax }
}

/**
 * True when a git is on the PATH and answers. (macOS without its developer tools has one that does not.)
 *
 * @throws ElderError `EXHAUSTED`: it could not be tried, which says nothing of git and must not be remembered
 */
export async function nativeGitWorks (): Promise<boolean> {
  try {
    return (await runGit({ profile: 'own', args: ['--version'], signal: AbortSignal.timeout(10_000) })).code === 0
  } catch (error) {
    if (codeOf(error) === 'EXHAUSTED') throw error
    return false
  }
}

/** Some errors of a start are thrown, others are emitted. */
function attemptSpawn (program: string, args: string[], options: SpawnOptionsWithStdioTuple<'pipe', 'pipe', 'pipe'>, call: GitCall): ChildProcessWithoutNullStreams {
  try {
    return spawn(program, args, options)
  } catch (error) {
    throw notStarted(call, error as Error)
  }
}

function notStarted ({ args: [what = ''] }: GitCall, cause: Error, isExhausted = EXHAUSTED.has(codeOf(cause))): ElderError {
  const message = `git ${what} could not be started: ${cause.message}`
  if (isExhausted) return new ElderError('EXHAUSTED', message, 'Repeat it when there is less to do; or give the node more files: ulimit -n 4096.', {}, { cause })
  return new ElderError('GIT_MISSING', message, 'Install git.', {}, { cause })
}

async function ended (child: ChildProcess, kill: () => void, call: GitCall): Promise<GitEnd> {
  const { signal, deadlineMs = 120_000 } = call
  let stderr = ''
  let timedOut = false
  const timer = setTimeout(() => { timedOut = true; kill() }, deadlineMs)
  signal.addEventListener('abort', kill, { once: true })
  child.stderr?.on('data', (chunk: Buffer) => { if (stderr.length < STDERR_CHARS_MAX) stderr += chunk.toString('utf8') })
  try {
    const code = await exitOf(child, call)
    signal.throwIfAborted()
    return { code, stderr, timedOut }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
  }
}

function exitOf (child: ChildProcess, call: GitCall): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', cause => { reject(notStarted(call, cause)) })
    child.once('close', (code, name) => {
      // With prlimit before it, a missing git is an exit code and not an error of the start.
      if (code === 127 && PRLIMIT !== undefined) reject(new ElderError('GIT_MISSING', 'git is not installed on this device', 'Install git.'))
      else resolve(code ?? (name === null ? 1 : 137))
    })
  })
}

/** SIGTERM lets git remove its lock files; SIGKILL follows. */
function killer (child: ChildProcess): () => void {
  const send = (name: NodeJS.Signals): void => {
    try { if (child.pid !== undefined) process.kill(-child.pid, name) } catch { child.kill(name) }
  }
  let isOver = false
  child.once('close', () => { isOver = true })
  return () => {
    if (isOver) return
    isOver = true
    send('SIGTERM')
    const timer = setTimeout(() => { send('SIGKILL') }, KILL_GRACE_MS)
    child.once('close', () => { clearTimeout(timer); send('SIGKILL') })
  }
}
