/** Starts the harness's devices as processes on loopback and speaks with them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Command } from './device.ts'
import { nowMs } from './stats.ts'

export interface Reply { at: number, [key: string]: unknown }
interface Waiting { resolve: (value: Reply) => void, reject: (error: Error) => void, timer: NodeJS.Timeout }

const REPLY_MS = 120_000

export class Device {
  readonly name: string
  readonly pid: number
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #id = 0

  constructor (name: string, module: string) {
    this.name = name
    this.#child = spawn(process.execPath, [module], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.pid = this.#child.pid as number
    // A device that was killed reads no more: its answers fail below.
    this.#child.stdin?.on('error', () => {})
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', line => { this.#answer(line) })
    this.gone = new Promise(resolve => {
      this.#child.once('exit', code => {
        for (const { reject } of this.#waiting.values()) reject(new Error(`${name} exited with ${code}`))
        resolve()
      })
    })
  }

  ask (command: Command, ms = REPLY_MS): Promise<Reply> {
    const id = ++this.#id
    this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { this.#settle(id)?.reject(new Error(`${this.name}: no answer to ${JSON.stringify(command).slice(0, 200)} in ${ms} ms`)) }, ms)
      this.#waiting.set(id, { resolve, reject, timer })
    })
  }

  kill (signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' = 'SIGKILL'): void { this.#child.kill(signal) }

  #answer (line: string): void {
    const { id, result, error } = JSON.parse(line) as { id: number, result: Reply, error?: string }
    const waiting = this.#settle(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(`${this.name}: ${error}`))
  }

  #settle (id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    clearTimeout(waiting?.timer)
    return waiting
  }
}

export interface LabInit { device: string, engine: 'process' | 'noop', slots: (i: number) => number }

export class Lab {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'elder-bench-'))
  readonly devices: Device[] = []
  readonly #init: LabInit
  #count = 0

  constructor (init: LabInit) { this.#init = init }

  /** The first founds the mesh, every other joins with a ticket of it. `from` is the moment before its process began, the ticket in its hand. */
  async add (): Promise<{ device: Device, from: number, readyAt: number }> {
    const i = this.#count++
    const ticket = this.devices[0] === undefined ? {} : { ticket: (await this.devices[0].ask({ do: 'invite' }))['ticket'] as string }
    const from = nowMs()
    const device = new Device(`d${i}`, this.#init.device)
    this.devices.push(device)
    const init = { dir: join(this.dir, device.name), name: device.name, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, slots: this.#init.slots(i), engine: this.#init.engine, explore: 0, ...ticket }
    const { at } = await device.ask({ do: 'start', init })
    return { device, from, readyAt: at }
  }

  async grow (size: number): Promise<Device[]> {
    while (this.devices.length < size) await this.add()
    await lastAt(this.devices, { do: 'online', count: size })
    return this.devices
  }

  /** Ends a device without a word and forgets it here. */
  async drop (device: Device): Promise<void> {
    device.kill()
    await device.gone
    this.devices.splice(this.devices.indexOf(device), 1)
  }

  async close (): Promise<void> {
    await Promise.all(this.devices.map(async device => {
      device.kill('SIGCONT')
      await device.ask({ do: 'stop' }, 15_000).catch(() => {})
      device.kill()
      await device.gone
    }))
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** When the last of them answered. */
export async function lastAt (devices: Device[], command: Command): Promise<number> {
  const replies = await Promise.all(devices.map(device => device.ask(command)))
  return Math.max(...replies.map(reply => reply.at))
}
