/** The demo's child processes: the public command line, as a user would run it. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ElderError } from '@elder-node/protocol'
import type { ErrorJson } from '@elder-node/protocol'
import { packageRoot } from '../../package-root.ts'
import { readJsonLines } from '../lines.ts'

const BIN = fileURLToPath(new URL('bin/elder-node.js', packageRoot))
const STDERR_CHARS_KEPT = 16_384
const LINE_BYTES_MAX = 64 * 2 ** 20

export type Document = Record<string, unknown> & { event?: string, error?: ErrorJson }
export interface Ended { code: number, last: Document | undefined }

/** One running command with `--json`: its documents as they come, and the end of its stderr. */
export class Child {
  readonly args: string[]
  readonly process: ChildProcess
  /** Resolves with the exit code; -1 when a signal ended it. */
  readonly exited: Promise<number>
  #stderr = ''

  constructor (process: ChildProcess, args: string[]) {
    this.process = process
    this.args = args
    this.exited = once(process, 'exit').then(([code]) => typeof code === 'number' ? code : -1)
    this.exited.catch(() => undefined)
    process.stderr?.on('data', (chunk: Buffer) => { this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-STDERR_CHARS_KEPT) })
  }

  get stderr (): string { return this.#stderr.trim() }
  get running (): boolean { return this.process.exitCode === null && this.process.signalCode === null }

  async * documents (): AsyncGenerator<Document> {
    if (this.process.stdout === null) return
    for await (const document of readJsonLines(this.process.stdout, LINE_BYTES_MAX)) yield document as Document
  }
}

/** Starts commands and forgets none: whatever still runs dies with the demo. */
export class Children {
  readonly #all = new Set<Child>()
  readonly #env: NodeJS.ProcessEnv
  readonly #killAll = (): void => { for (const { process } of this.#all) process.kill('SIGKILL') }

  constructor (env: NodeJS.ProcessEnv) {
    const { ELDER_NODE_DIR: _dir, ELDER_AGENT: _agent, FORCE_COLOR: _color, ...rest } = env
    this.#env = { ...rest, NO_COLOR: '1' }
    process.once('exit', this.#killAll)
  }

  /** `stdin` is written and closed: tickets never stand in argv. Detached, so that Ctrl-C reaches the demo alone and it ends them in order. */
  spawn (dir: string, args: string[], { stdin = '', env = {}, cwd }: { stdin?: string, env?: NodeJS.ProcessEnv, cwd?: string } = {}): Child {
    const at = args.indexOf('--')
    const flags = ['--json', '--no-input', '--dir', dir]
    const words = at < 0 ? [...args, ...flags] : [...args.slice(0, at), ...flags, ...args.slice(at)]
    const child = new Child(spawn(process.execPath, [BIN, ...words], { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: { ...this.#env, ...env }, ...(cwd === undefined ? {} : { cwd }) }), args)
    child.process.stdin?.on('error', () => undefined).end(stdin)
    this.#all.add(child)
    child.process.once('exit', () => this.#all.delete(child))
    return child
  }

  /** Runs one command to its end and answers its last document. @throws the ElderError that the command printed, or `DEMO_FAILED` */
  async run<T> (dir: string, args: string[], options: { stdin?: string, signal: AbortSignal }): Promise<T> {
    const child = this.spawn(dir, args, options)
    const { code, last } = await this.follow(child, () => undefined, options.signal)
    if (code === 0 && last !== undefined) return last as T
    throw commandFailed(child, code, last)
  }

  /** Hands every document to `see` until the command ends. */
  async follow (child: Child, see: (document: Document) => void, signal: AbortSignal): Promise<Ended> {
    const stop = (): void => { child.process.kill('SIGKILL') }
    signal.addEventListener('abort', stop, { once: true })
    try {
      let last: Document | undefined
      for await (const document of child.documents()) { last = document; see(document) }
      const code = await child.exited
      signal.throwIfAborted()
      return { code, last }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  /** Ends everything that still runs: SIGTERM, and SIGKILL for what has not ended after 10 s. */
  async stop (): Promise<void> {
    const running = [...this.#all]
    for (const { process } of running) process.kill('SIGTERM')
    const late = setTimeout(this.#killAll, 10_000)
    await Promise.allSettled(running.map(({ exited }) => exited))
    clearTimeout(late)
    process.off('exit', this.#killAll)
  }
}

export function commandFailed (child: Child, code: number, last: Document | undefined): ElderError {
  if (last?.error !== undefined) return ElderError.fromJSON(last.error)
  return new ElderError('DEMO_FAILED', `\`elder-node ${child.args.join(' ')}\` ended with ${code}${child.stderr === '' ? '' : `: ${child.stderr.slice(-600)}`}`)
}
