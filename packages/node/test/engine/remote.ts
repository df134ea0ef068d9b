/** An {@link Engine} in a process of its own, so that a test can kill the node that owns it or run it as another user. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { ElderError } from '@elder-node/protocol'
import type { Engine, EngineName, RunEvent, RunSpec } from '../../src/ports/engine.ts'

interface Line { id: number, event?: RunEvent, result?: unknown, error?: { code: string, message: string } }
type Listener = (line: Line) => void

export class RemoteEngine implements Engine {
  readonly name: EngineName
  description = ''
  readonly child: ChildProcess
  readonly #listeners = new Map<number, Listener>()
  #next = 1
  #ended: string | undefined

  /**
   * @param prefix - Command line before `node`, such as `setpriv --reuid 1000 --`.
   * @param kind - Whose engine: a name of the table in host.ts.
   */
  constructor (init: object & { name?: EngineName }, prefix: string[] = [], kind: 'process' | 'container' | 'sandbox' = 'process') {
    this.name = init.name ?? (kind === 'sandbox' ? kind : 'process')
    const [program = process.execPath, ...args] = [...prefix, process.execPath, '--conditions=elder-source', '--disable-warning=ExperimentalWarning', new URL('host.ts', import.meta.url).pathname, JSON.stringify(init), kind]
    this.child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: '/usr/bin:/bin', SECRET_OF_THE_NODE: 'canary', NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] } })
    // A child that ends answers nothing any more: whoever asked is told, and a write to it is no fault of the test run.
    this.child.stdin?.on('error', () => {})
    this.child.once('close', (code, signal) => { this.#end(`the process of the engine ended with ${signal ?? code}`) })
    if (this.child.stdout !== null) createInterface({ input: this.child.stdout }).on('line', line => { this.#hear(JSON.parse(line) as Line) })
  }

  async check (): Promise<void> { this.description = String(await this.#ask({ op: 'check' })) }
  async createTree (name: string, slot: number): Promise<string> { return String(await this.#ask({ op: 'createTree', name, slot })) }
  async removeTree (tree: string): Promise<void> { await this.#ask({ op: 'removeTree', tree }) }
  async sweep (): Promise<void> { await this.#ask({ op: 'sweep' }) }

  async * run (spec: RunSpec, { signal }: { signal: AbortSignal }): AsyncGenerator<RunEvent> {
    const lines: Line[] = []
    let wake = (): void => undefined
    const run = this.#send({ op: 'run', spec }, line => {
      lines.push(line)
      wake()
    })
    const cancel = (): void => { this.#send({ op: 'cancel', run }, () => undefined) }
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel)
    for (;;) {
      const line = lines.shift()
      if (line === undefined) await new Promise<void>(resolve => { wake = resolve })
      else if (line.error !== undefined) throw new ElderError(line.error.code, line.error.message)
      else if (line.event === undefined) return
      else yield line.event.type === 'log' ? { ...line.event, data: Buffer.from(String(line.event.data), 'base64') } : line.event
    }
  }

  /** The node dies, as by SIGKILL. */
  async kill (): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const exit = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await exit
  }

  #ask (order: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#send(order, line => {
        if (line.error === undefined) resolve(line.result)
        else reject(new ElderError(line.error.code, line.error.message))
      })
    })
  }

  #end (why: string): void {
    this.#ended = why
    for (const [id, listener] of this.#listeners) listener({ id, error: { code: 'ENGINE_FAILED', message: why } })
    this.#listeners.clear()
  }

  #send (order: object, listener: Listener): number {
    const id = this.#next++
    if (this.#ended !== undefined) {
      listener({ id, error: { code: 'ENGINE_FAILED', message: this.#ended } })
      return id
    }
    this.#listeners.set(id, listener)
    this.child.stdin?.write(`${JSON.stringify({ id, ...order })}\n`)
    return id
  }

  #hear (line: Line): void {
    this.#listeners.get(line.id)?.(line)
    if (line.event === undefined) this.#listeners.delete(line.id)
  }
}
