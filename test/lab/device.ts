/** A device of the lab: `elder-node join` on a host, asked through its control socket, which no network fault can reach. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Entry } from '@elder-node/crdt-stack'
import type { ControlCall, ControlMethods } from '@elder-node/protocol'
import type { BuildEvent, DeviceStatus } from '../../packages/node/src/api.ts'
import { ControlClient } from '../../packages/node/src/gateway/control-client.ts'
import type { ControlAnswers } from '../../packages/node/src/gateway/control-handlers.ts'
import { readJsonLines } from '../../packages/node/src/gateway/lines.ts'
import { locate } from '../../packages/node/src/gateway/location.ts'
import { BIN } from '../support/bin.ts'
import { onHost } from './lab.ts'
import type { Host, Lab } from './lab.ts'

const STOP_MS = 15_000

export interface Ready { event: 'ready', device: { id: string, name: string }, addresses: string[] }
/** With the time it was told, on `performance.now()`. */
export type Told = BuildEvent & { atMs: number }

export class Device {
  readonly host: Host
  readonly dir: string
  readonly #slots: number
  readonly #calls: ControlClient
  #child: ChildProcess | undefined
  #stderr = ''

  constructor (lab: Lab, host: Host, slots: number) {
    this.host = host
    this.dir = join(lab.dir, host.name)
    this.#slots = slots
    this.#calls = new ControlClient(locate(this.dir, {}))
  }

  get name (): string { return this.host.name }
  get running (): boolean { return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null }
  get pid (): number | undefined { return this.#child?.pid }

  /** Resolves when the node is ready. @throws Error with the end of what it said */
  async start ({ ticket = '', flags = [] }: { ticket?: string, flags?: string[] } = {}): Promise<Ready> {
    const engine = this.#slots > 0 ? ['--engine', 'process', '--trust-builds'] : []
    const words = ['join', '--json', '--no-input', '--dir', this.dir, '--name', this.name, '--slots', String(this.#slots), ...engine, ...flags, ...(ticket === '' ? [] : ['--ticket-file', '-'])]
    const { ELDER_NODE_DIR: _dir, ELDER_AGENT: _agent, ...env } = process.env
    const child = this.#child = spawn(...onHost(this.host, [process.execPath, BIN, ...words]), { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env })
    child.stderr?.on('data', (chunk: Buffer) => { this.#stderr = (this.#stderr + chunk.toString()).slice(-8192) })
    child.stdin?.on('error', () => {}).end(ticket)
    let last: unknown
    if (child.stdout !== null) {
      for await (const document of readJsonLines(child.stdout, 2 ** 20)) {
        if ((document as Ready).event === 'ready') return document as Ready
        last = document
      }
    }
    throw new Error(`${this.name} did not start: ${JSON.stringify(last)}\n${this.tail()}`)
  }

  /** As a pulled power cord; for the rest of the mesh only when the host was cut before, since a kernel closes the sockets of its dead. */
  async kill (): Promise<void> { await this.#end('SIGKILL') }

  /** As Ctrl-C. */
  async stop (): Promise<void> { await this.#end('SIGTERM') }

  async call<M extends ControlCall> (method: M, params: ControlMethods[M]): Promise<ControlAnswers[M]> {
    return await this.#calls.call(method, params, { signal: AbortSignal.timeout(10_000) })
  }

  /** Names of the devices that are online as this one sees it, itself included, sorted. */
  async online (): Promise<string[]> {
    const devices: DeviceStatus[] = await this.call('devices', {})
    return devices.filter(({ online }) => online).map(({ name }) => name).toSorted()
  }

  async entries (stack: string): Promise<Entry[]> {
    const entries: Entry[] = []
    for await (const entry of this.#calls.stream('stack.show', { stack }, { signal: AbortSignal.timeout(10_000) })) entries.push(entry)
    return entries
  }

  /** Runs a build; `told` grows as it goes. Aborting `signal` cancels it. */
  build (params: ControlMethods['build'], signal: AbortSignal): { told: Told[], ended: Promise<Told | undefined> } {
    const told: Told[] = []
    const follow = async (): Promise<Told | undefined> => {
      for await (const event of this.#calls.stream('build', params, { signal })) told.push({ ...event, atMs: performance.now() })
      return told.at(-1)
    }
    const ended = follow()
    ended.catch(() => {})
    return { told, ended }
  }

  /** All that the node logged. */
  log (): string {
    try { return readFileSync(locate(this.dir, {}).log, 'utf8') } catch { return '' /* it never came so far */ }
  }

  /** The end of what the node said. */
  tail (): string {
    return [...this.log().trim().split('\n').slice(-12), this.#stderr].join('\n')
  }

  async #end (signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.running) return
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    child.kill(signal)
    await once(child, 'exit')
    clearTimeout(late)
  }
}

/** Asks until the answer is neither undefined nor false. @throws Error naming `what` at the deadline */
export async function until<T> (what: string, deadlineMs: number, ask: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const end = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    const answer = await Promise.resolve().then(ask).catch((error: unknown) => { last = error; return undefined })
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`, { cause: last })
    await delay(50)
  }
}

/** Waits until each of these devices sees exactly these online. @returns milliseconds from now until the last one does */
export async function untilOnline (seers: Device[], expected: Device[], deadlineMs: number): Promise<number> {
  const start = performance.now()
  const names = expected.map(({ name }) => name).toSorted().join()
  await Promise.all(seers.map(async seer => {
    let seen = ''
    await until(`${seer.name} sees ${names} online`, deadlineMs, async () => (seen = (await seer.online()).join()) === names || undefined)
      .catch((error: unknown) => { throw new Error(`${(error as Error).message}; it sees ${seen}\n${seer.tail()}`) })
  }))
  return performance.now() - start
}
