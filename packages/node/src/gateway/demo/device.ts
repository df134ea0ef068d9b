/** One device of the demo: a `join` process and its data directory. */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Child, Children, Document } from './children.ts'
import { commandFailed } from './children.ts'

export interface Ready { device: { id: string, name: string }, mesh: { id: string, name: string }, addresses: string[] }

export class DemoDevice {
  readonly name: string
  readonly slots: number
  readonly dir: string
  ready: Ready | undefined
  readonly #children: Children
  #child: Child | undefined

  constructor (children: Children, root: string, name: string, slots: number) {
    this.#children = children
    this.name = name
    this.slots = slots
    this.dir = join(root, name)
  }

  get running (): boolean { return this.#child?.running === true }

  /** Starts the node and waits until it says that it is ready. */
  async start (options: { ticket?: string, signal: AbortSignal }): Promise<Ready> {
    const args = ['join', '--name', this.name, '--slots', String(this.slots), '--engine', 'process', '--trust-builds', '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
    const child = this.#children.spawn(this.dir, options.ticket === undefined ? args : [...args, '--ticket-file', '-'], { stdin: options.ticket ?? '' })
    this.#child = child
    const first = Promise.withResolvers<Document | undefined>()
    this.#watch(child, first.resolve)
    const stop = (): void => first.reject(options.signal.reason)
    options.signal.addEventListener('abort', stop, { once: true })
    const document = await first.promise.finally(() => options.signal.removeEventListener('abort', stop))
    if (document?.event !== 'ready') {
      child.process.kill('SIGKILL')
      throw commandFailed(child, await child.exited, document)
    }
    this.ready = document as unknown as Ready
    return this.ready
  }

  #watch (child: Child, first: (document: Document | undefined) => void): void {
    const read = async (): Promise<void> => { for await (const document of child.documents()) first(document) }
    read().catch(() => undefined).finally(() => first(undefined))
  }

  /** As a pulled power cord. */
  async kill (): Promise<void> {
    this.#child?.process.kill('SIGKILL')
    await this.#child?.exited
  }

  /** As Ctrl-C. @throws ElderError when the node does not end in 15 s */
  async stop (): Promise<void> {
    const child = this.#child
    if (child === undefined || !child.running) return
    child.process.kill('SIGTERM')
    const late = setTimeout(() => child.process.kill('SIGKILL'), 15_000)
    const code = await child.exited
    clearTimeout(late)
    if (code !== 0) throw new ElderError('DEMO_FAILED', `${this.name} did not stop cleanly (exit ${code}): ${child.stderr.slice(-400)}`)
  }

  async destroy (): Promise<void> { await rm(this.dir, { recursive: true, force: true }) }

  /** The end of what the process said. */
  tail (lines: number): string[] {
    let log = ''
    try { log = readFileSync(join(this.dir, 'node.log'), 'utf8') } catch { /* the node never came so far */ }
    return [...log.trim().split('\n'), ...(this.#child?.stderr ?? '').split('\n')].filter((line) => line !== '').slice(-lines)
  }
}
