import { spawn, type ChildProcess } from 'node:child_process'
import { ElderError } from '@elder-node/protocol'

const SAID_CHARS_MAX = 2000

export interface ToolOptions {
  /** @default / */
  cwd?: string
  /** The user it runs as, with its group of the same number and no other; only root can. @default this process's */
  uid?: number | undefined
  /** A file of this process that it has as number 3. */
  file?: number | undefined
  /** It is killed then. @default never */
  timeoutMs?: number
  /** It is killed then, too. @default never */
  signal?: AbortSignal | undefined
}

/** Runs a small system tool to its end and returns what it printed. Its environment is its own. @throws ElderError `TOOL_FAILED` */
export function runTool (program: string, args: string[], { cwd = '/', uid, file, timeoutMs, signal }: ToolOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    // Without a file descriptor to spare there are no pipes: only the error comes.
    const child: ChildProcess = spawn(program, args, {
      cwd, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe', ...(file === undefined ? [] : [file])],
      killSignal: 'SIGKILL', ...(uid === undefined ? {} : { uid, gid: uid }), ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }), ...(signal === undefined ? {} : { signal }),
    })
    let out = ''
    let said = ''
    // One that was killed is waited for: it must write no more when this call is over.
    child.once('error', error => { if (signal?.aborted !== true || child.pid === undefined) reject(error) })
    child.stdout?.on('data', (data: Buffer) => { out += data.toString() })
    child.stderr?.on('data', (data: Buffer) => { said = (said + data.toString()).slice(0, SAID_CHARS_MAX) })
    child.once('close', code => {
      if (signal?.aborted === true) reject(signal.reason)
      else if (code === 0) resolve(out)
      else reject(new ElderError('TOOL_FAILED', `${program} ended with ${code}: ${said.trim()}`, 'Is the disk full, or a folder of the node not its own any more?'))
    })
  })
}
