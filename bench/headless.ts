/** A node as its owner runs it: `elder-node join`, asked over its command line. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface HeadlessInit {
  bin: string
  dir: string
  name: string
  engine?: 'none' | 'process'
  slots?: number
  /** Of a node of the mesh; without one a mesh is founded. */
  ticket?: string
  /** Before the program's name: options of Node. */
  node?: string[]
}

export class Headless {
  readonly name: string
  readonly dir: string
  readonly pid: number
  readonly readyMs: number
  readonly #init: HeadlessInit
  readonly #child: ChildProcess

  static async start (init: HeadlessInit): Promise<Headless> {
    const { bin, dir, name, engine = 'none', slots = 0, ticket, node = [] } = init
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const from = performance.now()
    const args = ['join', '--json', '--dir', dir, '--name', name, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--engine', engine, '--trust-builds', '--slots', String(slots)]
    const child = spawn(process.execPath, [...node, bin, ...args, ...ticket === undefined ? [] : ['--ticket-file', '-']], { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin?.end(ticket)
    const said: string[] = []
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      if (line.includes('"ready"')) return new Headless(init, child, performance.now() - from)
      said.push(line)
    }
    throw new Error(`${name} ended before it was ready: ${said.join(' ')}`)
  }

  constructor (init: HeadlessInit, child: ChildProcess, readyMs: number) {
    this.#init = init
    this.#child = child
    this.name = init.name
    this.dir = init.dir
    this.pid = child.pid as number
    this.readyMs = readyMs
    child.stdout?.resume()
  }

  /** What a command of this node prints. */
  async ask (...args: string[]): Promise<string> {
    const child = spawn(process.execPath, [this.#init.bin, '--dir', this.dir, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, err, code] = await Promise.all([textOf(child.stdout), textOf(child.stderr), new Promise(resolve => { child.once('exit', resolve) })])
    if (code !== 0) throw new Error(`${this.name}: ${args.join(' ')} ended with ${String(code)}: ${err}${out}`)
    return out
  }

  async ticket (): Promise<string> { return (JSON.parse(await this.ask('invite', '--json')) as { ticket: string }).ticket }

  /** A command that goes on, its output thrown away. */
  watch (...args: string[]): ChildProcess { return spawn(process.execPath, [this.#init.bin, '--dir', this.dir, ...args], { stdio: 'ignore' }) }

  async stop (): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise(resolve => { this.#child.once('exit', resolve) })
    this.#child.kill('SIGTERM')
    await gone
  }
}

async function textOf (stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += String(chunk)
  return text
}
