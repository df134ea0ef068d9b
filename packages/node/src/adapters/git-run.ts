/** Native git as a child process, with nothing of the caller's git environment and nothing that a repository could make it run. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { ElderError } from '@elder-node/protocol'
import { findTool } from './system-tools.ts'

/** Attributes of a repository that never transforms content: the bytes of the work tree are the bytes of the blobs. */
export const RAW_ATTRIBUTES = '* -filter -text -ident -working-tree-encoding\n'

const CONFIG = [
  'core.hooksPath=/dev/null', 'core.fsmonitor=false', 'core.autocrlf=false', 'core.safecrlf=false', 'core.untrackedCache=false',
  'core.splitIndex=false', 'core.longpaths=true', 'safe.directory=*', 'gc.auto=0', 'advice.addEmbeddedRepo=false', 'core.quotePath=false', 'pack.threads=1',
]

export interface GitOptions {
  cwd?: string
  /** More environment: `GIT_DIR`, `GIT_INDEX_FILE`, ... */
  env?: Record<string, string>
  stdin?: string
  signal?: AbortSignal
  /** Exit codes that are no failure besides 0. */
  allow?: number[]
  /** More `-c name=value`. */
  config?: string[]
  /** Memory git may take while it reads what somebody else made; where the system has prlimit. */
  memoryBytesMax?: number
  /** Longest answer kept. @default 256 MiB: a listing of a million paths */
  outputBytesMax?: number
  /** Reads the person's global git settings (ignore rules); else none. */
  personal?: boolean
}

export interface GitResult { code: number, stdout: Buffer, stderr: string }

export function startGit (args: string[], options: GitOptions = {}): ChildProcessWithoutNullStreams {
  const personal = options.personal === true
    ? Object.fromEntries(['HOME', 'XDG_CONFIG_HOME'].flatMap(name => process.env[name] === undefined ? [] : [[name, process.env[name]]]))
    : { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_ATTR_NOSYSTEM: '1' }
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', GIT_NO_REPLACE_OBJECTS: '1', ...personal, ...options.env }
  const config = [...CONFIG, ...options.config ?? []].flatMap(pair => ['-c', pair])
  const prlimit = options.memoryBytesMax === undefined ? undefined : findTool('prlimit')
  const [program = 'git', ...rest] = [...(prlimit === undefined ? [] : [prlimit, `--data=${options.memoryBytesMax}`]), 'git', ...config, ...args]
  const child = spawn(program, rest, { cwd: options.cwd ?? '/', env, signal: options.signal, stdio: 'pipe' })
  child.stdin.on('error', () => undefined)
  return child
}

/** Runs git to its end. @throws ElderError `GIT_FAILED` with what git said, `GIT_MISSING`, `SOURCE_TOO_LARGE` when that was too much. */
export async function runGit (args: string[], options: GitOptions = {}): Promise<GitResult> {
  const child = startGit(args, options)
  child.stdin.end(options.stdin ?? '')
  const { outputBytesMax = 268_435_456 } = options
  const chunks: Buffer[] = []
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= outputBytesMax) chunks.push(chunk)
    if (bytes > outputBytesMax) child.kill('SIGKILL')
  })
  const { code, stderr } = await ended(child, args[0] ?? '')
  if (bytes > outputBytesMax) throw new ElderError('SOURCE_TOO_LARGE', `git ${args[0] ?? ''} listed more than ${outputBytesMax} bytes`, 'Is this the project\'s folder? List what a build does not need in .gitignore.')
  if (code !== 0 && options.allow?.includes(code) !== true) throw gitFailed(args, code, stderr)
  return { code, stdout: Buffer.concat(chunks), stderr }
}

/** The trimmed text git prints. */
export async function gitText (args: string[], options: GitOptions = {}): Promise<string> {
  return (await runGit(args, options)).stdout.toString().trim()
}

/** Waits for the end of a git process. Drains stderr, of which it keeps the beginning. */
export async function ended (child: ChildProcessWithoutNullStreams, what: string): Promise<{ code: number, stderr: string }> {
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => { if (stderr.length < 16_384) stderr += chunk.toString() })
  return new Promise((resolve, reject) => {
    child.once('error', error => {
      if (error.name === 'AbortError') reject(error)
      else reject(new ElderError('GIT_MISSING', `git ${what} could not be started: ${error.message}`, 'Install git.', {}, { cause: error }))
    })
    child.once('close', (code, signal) => { resolve({ code: code ?? (signal === null ? 1 : 137), stderr }) })
  })
}

export function gitFailed (args: string[], code: number, stderr: string): ElderError {
  const said = stderr.split('\n').filter(line => line !== '' && !line.startsWith('hint:')).slice(0, 5).join('; ')
  return new ElderError('GIT_FAILED', `git ${args[0] ?? ''} ended with ${code}: ${said.slice(0, 1000)}`, 'Is the disk full? If the repository is the reason, git fsck names what is broken.')
}
