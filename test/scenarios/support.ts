/** Real nodes as a person runs them: processes of the built command line, asked through its public commands alone. */
import { spawn, execFileSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { codeOf } from '@elder-node/protocol'
import type { ControlCall, ControlMethods } from '@elder-node/protocol'
import type { Entry } from '@elder-node/crdt-stack'
import { expect } from 'vitest'
import type { BuildEvent, DeviceStatus, Status } from '../../packages/node/src/api.ts'
import { rootName } from '../../packages/node/src/adapters/engine-common/root.ts'
import { ControlClient } from '../../packages/node/src/gateway/control-client.ts'
import type { ControlAnswers } from '../../packages/node/src/gateway/control-handlers.ts'
import { locate } from '../../packages/node/src/gateway/location.ts'
import { markedProcesses } from '../../packages/node/src/gateway/demo/processes.ts'
import { BIN } from '../support/bin.ts'

/** Ten times what a start or a command takes on two busy cores. */
const ANSWER_MS = 30_000
const LISTEN = ['--listen', '/ip4/127.0.0.1/tcp/0']

export type Document = Record<string, unknown> & { event?: string, error?: { code: string, message: string, fix: string } }
export type Elected = Extract<BuildEvent, { event: 'elected' }>
export type Result = Extract<BuildEvent, { event: 'result' }>
export type Digest = { digest: string, feeds: string }
export interface Ready { device: { id: string, name: string }, mesh: { id: string, name: string }, addresses: string[] }
export interface SpawnOptions { stdin?: string, env?: NodeJS.ProcessEnv, cwd?: string }
export interface JoinOptions extends SpawnOptions { slots?: number, ticket?: string, listen?: string, dir?: string, flags?: string[] }

/** One running command. */
export class Command {
  readonly process: ChildProcess
  /** 0 to 255, or the name of the signal that ended it. */
  readonly exited: Promise<number | string>
  stdout = ''
  stderr = ''

  constructor (args: string[], { stdin = '', env = {}, cwd }: SpawnOptions = {}) {
    const { ELDER_NODE_DIR: _dir, ELDER_AGENT: _agent, FORCE_COLOR: _color, NODE_OPTIONS: _options, ...rest } = process.env
    // A group of its own: a Ctrl-C at the tests must not reach it before the clean-up does.
    this.process = spawn(process.execPath, [BIN, ...args], { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env: { ...rest, NO_COLOR: '1', ...env }, ...(cwd === undefined ? {} : { cwd }) })
    this.exited = new Promise((resolve, reject) => {
      this.process.once('error', reject)
      this.process.once('close', (code, signal) => { resolve(code ?? signal ?? 'unknown') })
    })
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => { this.stdout += text })
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => { this.stderr += text })
    this.process.stdin?.on('error', () => undefined).end(stdin)
  }

  get pid (): number { return this.process.pid ?? 0 }
  get running (): boolean { return this.process.exitCode === null && this.process.signalCode === null }
  /** The whole JSON lines so far. */
  get documents (): Document[] { return this.stdout.split('\n').slice(0, -1).map(line => JSON.parse(line) as Document) }
  get last (): Document | undefined { return this.documents.at(-1) }
  get events (): BuildEvent[] { return this.documents.filter(({ event }) => event !== undefined) as unknown as BuildEvent[] }
  /** What the build printed on its standard output. */
  get printed (): string { return this.events.map(event => event.event === 'log' && event.stream === 'stdout' ? event.data : '').join('') }

  async end (signal: NodeJS.Signals): Promise<number | string> {
    if (this.running) this.process.kill(signal)
    return await this.exited
  }
}

export interface Ran { code: number | string, command: Command, last: Document | undefined }

/** A place for one file's tests: its folders and its processes, all gone at the end, in the reverse order. */
export class Lab implements AsyncDisposable {
  readonly temp: string = mkdtempSync(join(tmpdir(), 'elder-scenario-'))
  readonly #ends: Array<() => unknown> = [() => { rmSync(this.temp, { recursive: true, force: true }) }]

  folder (name: string): string {
    const path = join(this.temp, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  later (end: () => unknown): void { this.#ends.push(end) }

  spawn (args: string[], options: SpawnOptions = {}): Command {
    const command = new Command(args, options)
    this.later(() => command.end('SIGKILL'))
    return command
  }

  /** One command to its end, with `--json`; flags go before a `--`. */
  async run (dir: string, args: string[], options: SpawnOptions = {}): Promise<Ran> {
    const command = this.begin(dir, args, options)
    const code = await within(ANSWER_MS, command.exited, `elder-node ${args.join(' ')}`)
    return { code, command, last: command.last }
  }

  begin (dir: string, args: string[], options: SpawnOptions = {}): Command {
    const at = args.includes('--') ? args.indexOf('--') : args.length
    return this.spawn([...args.slice(0, at), '--json', '--no-input', '--dir', dir, ...args.slice(at)], options)
  }

  /** A node that is ready; an `exits` that comes first is an error. */
  async join (name: string, options: JoinOptions = {}): Promise<Node> {
    const node = new Node(this, name, options)
    await node.start(options)
    return node
  }

  /** Joins with a fresh ticket of that node. */
  async admit (name: string, by: Node, options: JoinOptions = {}): Promise<Node> {
    return await this.join(name, { ...options, ticket: await by.ticket() })
  }

  /** A `join` that must not come up: its exit code and its last document. */
  async refused (name: string, options: JoinOptions = {}): Promise<Ran> {
    const command = joinCommand(this, name, options.dir ?? join(this.temp, name), options)
    const code = await within(ANSWER_MS, command.exited, `join of ${name}`)
    return { code, command, last: command.last }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end()
  }
}

function joinCommand (lab: Lab, name: string, dir: string, { slots = 0, ticket, listen, flags = [], ...options }: JoinOptions): Command {
  // Build trees live outside of the data directory, under a name made of it.
  for (const parent of ['/var/lib/elder-node', join(tmpdir(), `elder-node-${process.getuid?.() ?? 0}`)]) {
    lab.later(() => { rmSync(join(parent, rootName(dir)), { recursive: true, force: true }) })
  }
  const where = listen === undefined ? LISTEN : ['--listen', listen]
  return lab.begin(dir, ['join', '--name', name, '--slots', String(slots), '--engine', 'process', '--trust-builds', '--no-mdns', ...where, ...flags, ...(ticket === undefined ? [] : ['--ticket-file', '-'])], { stdin: ticket ?? '', ...options })
}

/** One device: a `join` process and its data directory. */
export class Node {
  readonly lab: Lab
  readonly name: string
  readonly dir: string
  readonly #slots: number
  #command: Command | undefined
  #ready: Ready | undefined

  constructor (lab: Lab, name: string, { dir, slots = 0 }: JoinOptions) {
    this.lab = lab
    this.name = name
    this.dir = dir ?? join(lab.temp, name)
    this.#slots = slots
  }

  get process (): Command { return must(this.#command, `${this.name} was started`) }
  get ready (): Ready { return must(this.#ready, `${this.name} is ready`) }
  get id (): string { return this.ready.device.id }
  get pid (): number { return this.process.pid }
  /** Of its first TCP address. */
  get port (): number { return Number(/\/tcp\/(\d+)/.exec(this.ready.addresses[0] ?? '')?.[1]) }
  /** What it logged, for a message of failure. */
  get log (): string { try { return readFileSync(join(this.dir, 'node.log'), 'utf8').slice(-2_000) } catch { return '' } }

  async start (options: JoinOptions = {}): Promise<void> {
    const command = joinCommand(this.lab, this.name, this.dir, { slots: this.#slots, ...options })
    this.#command = command
    await until(`${this.name} is ready`, () => {
      if (!command.running) throw new Error(`${this.name} ended: ${command.stdout}${command.stderr}${this.log}`)
      return command.documents.some(({ event }) => event === 'ready')
    })
    this.#ready = command.documents[0] as unknown as Ready
  }

  /** As a pulled power cord. */
  async kill (): Promise<void> { expect(await this.process.end('SIGKILL')).toBe('SIGKILL') }
  /** As Ctrl-C. */
  async stop (): Promise<void> { expect(await within(ANSWER_MS, this.process.end('SIGTERM'), `${this.name} stops`), this.process.stderr).toBe(0) }

  async run (...args: string[]): Promise<Ran> { return await this.lab.run(this.dir, args) }
  begin (args: string[], options: SpawnOptions = {}): Command { return this.lab.begin(this.dir, args, options) }

  /** The last document of a command that must succeed. */
  async ask<T> (...args: string[]): Promise<T> {
    const { code, last, command } = await this.run(...args)
    if (code !== 0) throw new Error(`elder-node ${args.join(' ')} on ${this.name} ended with ${code}: ${command.stdout}${command.stderr}`)
    return last as T
  }

  /**
   * What `--json` prints, from where the command has it: the control socket. For what is asked again and again, as a command takes
   * a tenth of a second of a core each time.
   */
  async call<M extends ControlCall> (method: M, params: ControlMethods[M]): Promise<ControlAnswers[M]> {
    return await new ControlClient(locate(this.dir, {})).call(method, params, { signal: AbortSignal.timeout(ANSWER_MS) })
  }

  async entries (stack: string): Promise<Entry[]> {
    const entries: Entry[] = []
    for await (const entry of new ControlClient(locate(this.dir, {})).stream('stack.show', { stack }, { signal: AbortSignal.timeout(ANSWER_MS) })) entries.push(entry)
    return entries
  }

  async status (): Promise<Status> { return await this.ask<Status>('status') }
  async ticket (...flags: string[]): Promise<string> { return (await this.ask<{ ticket: string }>('invite', ...flags)).ticket }
  /** Undefined while the stack has not arrived. */
  async digest (stack: string): Promise<Digest | undefined> {
    return await this.call('stack.digest', { stack }).catch((error: unknown) => { if (codeOf(error) !== 'NO_SUCH_STACK') throw error; return undefined })
  }

  /** Returns the id once the note is acknowledged. */
  async note (stack: string, title: string, body = ''): Promise<string> {
    const { entry } = await this.ask<{ entry: { id: string } }>('stack', 'add', stack, '--kind', 'note', '--title', title, '--body', body)
    return entry.id
  }

  async titles (stack: string): Promise<string[]> {
    return (await this.entries(stack)).map(({ title }) => title).sort()
  }

  /** Waits until exactly these devices, and no other, are online in its `status`. */
  async sees (...names: string[]): Promise<DeviceStatus[]> {
    return await until(`${this.name} sees ${names.join(', ')}`, async () => {
      const devices = await this.call('devices', {})
      const online = devices.filter(device => device.online)
      return online.map(({ name }) => name).sort().join() === names.toSorted().join() ? online : undefined
    })
  }
}

/** Asks until the answer is neither undefined nor false. Never a fixed wait. */
export async function until<T> (what: string, ask: () => T | undefined | false | Promise<T | undefined | false>, deadlineMs: number = ANSWER_MS): Promise<T> {
  const end = performance.now() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    // Leaves the cores to the nodes between two questions.
    await delay(25)
  }
}

async function within<T> (ms: number, promise: Promise<T>, what: string): Promise<T> {
  const gone = new AbortController()
  const late = delay(ms, undefined, { signal: gone.signal, ref: false }).then(() => { throw new Error(`not within ${ms} ms: ${what}`) })
  late.catch(() => undefined)
  try { return await Promise.race([promise, late]) } finally { gone.abort() }
}

export function must<T> (value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`expected that ${what}`)
  return value
}

/** A refusal as the contract wants it: exit code, code, a message that names the thing, a fix. */
export function expectRefusal ({ code, last, command }: Ran, exit: number, error: { code: string, names: string | RegExp, fix: string | RegExp }): void {
  expect(code, command.stdout + command.stderr).toBe(exit)
  expect(last?.error?.code).toBe(error.code)
  expect(last?.error?.message).toMatch(error.names)
  expect(last?.error?.fix).toMatch(error.fix)
}

/** A git project of these files, in a folder of its own. */
export function project (lab: Lab, name: string, files: Record<string, string>): string {
  const dir = lab.folder(name)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), text)
  }
  git(dir, 'init', '-q')
  git(dir, 'add', '-A')
  git(dir, 'commit', '-qm', 'first')
  return dir
}

export function git (cwd: string, ...args: string[]): string {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 't', GIT_AUTHOR_EMAIL: 't@t', GIT_COMMITTER_NAME: 't', GIT_COMMITTER_EMAIL: 't@t' }
  return execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** A word that nothing else on this machine carries. */
export function freshMark (): string { return `elder-scenario-${randomBytes(8).toString('hex')}` }

/** Processes that carry the mark in their arguments or environment, besides these tests and the given commands. */
export async function marked (mark: string, ...except: Command[]): Promise<number[]> {
  const found = await markedProcesses(mark, new Set([process.pid, ...except.map(({ pid }) => pid)]))
  return must(found, 'this system has /proc').map(({ pid }) => pid)
}
