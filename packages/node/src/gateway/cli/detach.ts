/**
 * `join --detach`: the same command once more in a session of its own, and the wait until it says that it is ready.
 *
 * The two speak over Node's IPC channel, once: what `join` would have printed at ready. An end without that word is a failure,
 * and its error document is the last one in the log that the child writes its output to.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readSync, fstatSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ElderError } from '@elder-node/protocol'
import type { ErrorJson } from '@elder-node/protocol'
import type { Command } from 'commander'
import { makePrivateDir } from '../../adapters/files.ts'
import { packageRoot } from '../../package-root.ts'
import type { Io } from './io.ts'

/** Marks the child for itself. */
const MARK = 'ELDER_NODE_DETACHED'
const OUTPUT_BYTES_READ = 65_536

/** What a node says of itself at ready. */
export interface Ready {
  device: { id: string, name: string }
  mesh: { id: string, name: string }
  joined: 'founded' | 'admitted' | 'returned'
  addresses: string[]
  /** Where /metrics is answered, if anywhere. */
  http?: string
  recovery?: string
  /** What it does for builds. */
  offer: { slots: number, engine: string | null, /** Builds that name no image cannot run here yet. */ bare: boolean }
}
export interface Detached { ready: Ready, pid: number, outputPath: string }

export interface DetachInit {
  /** The words of the command line without `--detach`, `--json` and any ticket. */
  words: string[]
  /** Handed over on standard input: a ticket never stands in argv. */
  ticket: string | undefined
  dir: string
  signal: AbortSignal
}

/** Resolves when the node is ready; the caller may end then, and the node goes on. @throws ElderError what the child failed with, `DETACH_FAILED`, or why `signal` aborted */
export async function detach (io: Io, { words, ticket, dir, signal }: DetachInit): Promise<Detached> {
  makePrivateDir(dir)
  const outputPath = join(dir, 'detached.log')
  const output = openSync(outputPath, 'a+', 0o600)
  const from = fstatSync(output).size
  try {
    const bin = fileURLToPath(new URL('bin/elder-node.js', packageRoot))
    const args = ['join', '--json', ...words, ...ticket === undefined ? [] : ['--ticket-file', '-']]
    const child = spawn(process.execPath, [bin, ...args], { cwd: io.cwd, env: { ...io.env, [MARK]: '1' }, detached: true, windowsHide: true, stdio: ['pipe', output, output, 'ipc'] })
    child.stdin?.on('error', () => {}).end(ticket ?? '')
    const cancel = (): void => { child.kill('SIGTERM') }
    signal.addEventListener('abort', cancel, { once: true })
    try {
      const ready = await new Promise<Ready>((resolve, reject) => {
        child.once('message', (message) => resolve(message as Ready))
        child.once('error', reject)
        child.once('exit', (code, by) => reject(signal.aborted ? signal.reason as Error : failureOf(tail(output, from), code ?? by, outputPath)))
      })
      child.disconnect()
      child.unref()
      return { ready, pid: child.pid as number, outputPath }
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  } finally {
    closeSync(output)
  }
}

/** In the child: tells the parent, once, and lets go of it. Nothing when this process was not detached. */
export function tellParent (io: Io, ready: Ready): void {
  if (io.env[MARK] !== '1' || process.send === undefined) return
  process.send(ready, () => { if (process.connected) process.disconnect() })
}

/** The flags that were given, as words again: what is not said stays with the settings, in the child as here. */
export function givenWords (command: Command, except: ReadonlySet<string>): string[] {
  const words: string[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const option of at.options) {
      const name = option.attributeName()
      if (except.has(name) || at.getOptionValueSource(name) !== 'cli' || option.long === undefined || option.long === null) continue
      const value: unknown = at.getOptionValue(name)
      if (option.negate ? value === false : value === true) words.push(option.long)
      else if (!option.negate) for (const one of Array.isArray(value) ? value : [value]) if (typeof one === 'string') words.push(option.long, one)
    }
  }
  return words
}

/** The error document that the child printed last, else its last words. */
export function failureOf (text: string, ended: number | string | null, outputPath: string): ElderError {
  const lines = text.trimEnd().split('\n')
  for (const line of lines.toReversed()) {
    if (!line.startsWith('{"schema":"elder/error.')) continue
    try {
      return ElderError.fromJSON((JSON.parse(line) as { error: ErrorJson }).error)
    } catch {
      break
    }
  }
  return new ElderError('DETACH_FAILED', `the node ended before it was ready (${ended}): ${lines.slice(-5).join('\n')}`, `Run it in the foreground to see more: elder-node join --dir ${dirname(outputPath)}`)
}

function tail (fd: number, from: number): string {
  const start = Math.max(from, fstatSync(fd).size - OUTPUT_BYTES_READ)
  const bytes = Buffer.alloc(OUTPUT_BYTES_READ)
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, OUTPUT_BYTES_READ, start))
}
