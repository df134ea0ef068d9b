/** Runs one git command: clean environment, no prompts, a deadline, and a process group that dies with it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { tmpdir } from 'node:os'
import { ElderError } from '@elder-node/protocol'

export interface GitCommand {
  args: string[]
  /** The bare repository, absolute. Left out for commands that need none. */
  gitDir?: string
  input?: Uint8Array
  /** @default 120_000 */
  deadlineMs?: number
  /** Bytes of stdout kept before the command is killed. @default 268_435_456 */
  stdoutBytesMax?: number
  signal: AbortSignal
}

export interface GitOutput { code: number, stdout: Buffer, stderr: string, timedOut: boolean }

/** The owner's own settings for transport; every other GIT_* of a hook or a shell could redirect us to a foreign repository. */
const KEEP = /^GIT_(SSL_\w+|ASKPASS|SSH|SSH_COMMAND|SSH_VARIANT|PROXY_\w+|HTTP_USER_AGENT|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|EXEC_PATH|TRACE\w*)$/
const STDERR_BYTES_MAX = 65_536
const KILL_GRACE_MS = 1_000

/**
 * Hooks off; objects from a remote are checked; stalls end. No fsync: the cache is checked after every unclean end and fetched
 * anew when the power cut it short, which spares SD cards; the remote keeps its own settings.
 * GIT_ALLOW_PROTOCOL: a remote's URL comes from another device, and `ext::` runs a command.
 */
const SETTINGS = [
  'core.hooksPath=/dev/null', 'core.fsync=none', 'core.fsmonitor=false', 'transfer.fsckObjects=true', 'gc.auto=0', 'gc.autoDetach=false',
  'http.lowSpeedLimit=1', 'http.lowSpeedTime=30', 'core.logAllRefUpdates=false', 'fetch.recurseSubmodules=false', 'push.gpgSign=false', 'fetch.unpackLimit=1', 'credential.interactive=false',
].flatMap(setting => ['-c', setting])

export function gitEnvironment (base: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const own = Object.entries(base).filter(([name]) => !name.startsWith('GIT_') || KEEP.test(name))
  return { ...Object.fromEntries(own), GIT_TERMINAL_PROMPT: '0', SSH_ASKPASS_REQUIRE: 'never', GCM_INTERACTIVE: 'never', GIT_ALLOW_PROTOCOL: 'https:http:ssh:git:file', GIT_NO_LAZY_FETCH: '1', LC_ALL: 'C' }
}

/** Resolves whatever the exit code; throws the signal's reason on abort and `GIT_MISSING` when git is not installed. */
export async function runGit (command: GitCommand): Promise<GitOutput> {
  const { signal, deadlineMs = 120_000, stdoutBytesMax = 268_435_456 } = command
  signal.throwIfAborted()
  const where = command.gitDir === undefined ? [] : ['--git-dir', command.gitDir]
  // A session of its own: no terminal that ssh could ask on, and one group to kill.
  const child = spawn('git', [...SETTINGS, ...where, ...command.args], { env: gitEnvironment(), detached: true, stdio: ['pipe', 'pipe', 'pipe'], cwd: tmpdir() })
  const out: Buffer[] = []
  let outBytes = 0
  let stderr = ''
  let timedOut = false
  const kill = killer(child)
  const timer = setTimeout(() => { timedOut = true; kill() }, deadlineMs)
  signal.addEventListener('abort', kill, { once: true })
  child.stdout.on('data', (chunk: Buffer) => {
    outBytes += chunk.length
    if (outBytes > stdoutBytesMax) kill()
    else out.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => { if (stderr.length < STDERR_BYTES_MAX) stderr += chunk.toString('utf8') })
  child.stdin.on('error', () => {}) // it may exit before it read everything: the exit code says why
  child.stdin.end(command.input)
  try {
    const code = await exitOf(child)
    signal.throwIfAborted()
    if (outBytes > stdoutBytesMax) throw new ElderError('GIT_FAILED', `git ${command.args[0]} printed more than ${stdoutBytesMax} bytes`)
    return { code, stdout: Buffer.concat(out), stderr, timedOut }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
  }
}

/** True when a git is on the PATH and answers. (macOS without its developer tools has one that does not.) */
export async function nativeGitWorks (): Promise<boolean> {
  const signal = AbortSignal.timeout(10_000)
  return await runGit({ args: ['--version'], signal }).then(({ code }) => code === 0, () => false)
}

function exitOf (child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', error => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      reject(missing ? new ElderError('GIT_MISSING', 'git is not installed on this device, so it cannot mirror', 'Install git, or let another device of the mesh do the mirroring.') : error)
    })
    child.once('close', code => { resolve(code ?? 128) })
  })
}

/** SIGTERM lets git remove its lock files; SIGKILL follows. */
function killer (child: ChildProcess): () => void {
  const send = (name: NodeJS.Signals): void => {
    try { if (child.pid !== undefined) process.kill(-child.pid, name) } catch { /* gone already */ }
  }
  return () => {
    send('SIGTERM')
    const timer = setTimeout(() => { send('SIGKILL') }, KILL_GRACE_MS)
    child.once('close', () => { clearTimeout(timer); send('SIGKILL') })
  }
}
