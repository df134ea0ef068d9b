/**
 * The peer for membership and state changes: serf agents on loopback, one per device, each with an event handler that appends
 * a time stamp. What it measures is what ours measures: the moment the last agent knows.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from './ports.ts'
import { cpuMsOf, rssOf } from './proc.ts'
import { nowMs, sleep } from './stats.ts'

export interface SerfFigures { joinKnownMs: number[], eventKnownMs: number[], crashKnownMs: number[], silenceKnownMs: number[], rssBytes: number[], idleCpuPercent: number[] }
export interface SerfInit { count: number, events: number, idleMs: number, losses: boolean }

const WAIT_MS = 60_000

export function isInstalled (command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

class Agents {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'elder-serf-'))
  readonly children: ChildProcess[] = []
  readonly #gossipPorts: number[]
  readonly #rpcPorts: number[]

  /** Two ports for each agent. */
  constructor (ports: number[]) {
    this.#gossipPorts = ports.slice(0, ports.length / 2)
    this.#rpcPorts = ports.slice(ports.length / 2)
    // $EPOCHREALTIME is of bash. A user event has its name in a variable and may have no payload; member events list members, one a line.
    writeFileSync(this.#handler, `#!/bin/bash\nlog="${this.dir}/events.$SERF_SELF_NAME"\nif [ "$SERF_EVENT" = user ]; then echo "$EPOCHREALTIME user $SERF_USER_EVENT" >> "$log"; exit 0; fi\nwhile read -r name rest; do echo "$EPOCHREALTIME $SERF_EVENT $name"; done >> "$log"\n`)
    chmodSync(this.#handler, 0o755)
  }

  get #handler (): string { return join(this.dir, 'handler') }

  start (i: number): void {
    const args = ['agent', '-node', String(i), '-bind', `127.0.0.1:${this.#gossipPorts[i]}`, '-rpc-addr', `127.0.0.1:${this.#rpcPorts[i]}`, '-profile', 'lan', '-event-handler', this.#handler]
    this.children[i] = spawn('serf', i === 0 ? args : [...args, '-join', `127.0.0.1:${this.#gossipPorts[0]}`], { stdio: 'ignore' })
  }

  rpc (i: number, command: string, ...args: string[]): string {
    return execFileSync('serf', [command, `-rpc-addr=127.0.0.1:${this.#rpcPorts[i]}`, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  }

  isUp (i: number): boolean {
    try { return this.rpc(i, 'members').length > 0 } catch { return false }
  }

  /** When agent i noted the event, the first time after `fromMs`; undefined while it has not. */
  noted (i: number, event: string, fromMs: number): number | undefined {
    const log = join(this.dir, `events.${i}`)
    const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : []
    return lines.filter(line => line.slice(line.indexOf(' ') + 1) === event).map(line => Number(line.split(' ')[0]) * 1000).find(at => at >= fromMs)
  }

  /** Milliseconds from `fromMs` until each of the agents noted its event; the last of them. */
  async allNoted (wanted: Array<[agent: number, event: string]>, fromMs: number): Promise<number> {
    const deadline = nowMs() + WAIT_MS
    for (;;) {
      const at = wanted.map(([i, event]) => this.noted(i, event, fromMs))
      if (at.every(ms => ms !== undefined)) return Math.max(...at) - fromMs
      if (nowMs() > deadline) throw new Error(`serf: not everybody noted ${wanted[0]?.[1]} in ${WAIT_MS} ms`)
      await sleep(20)
    }
  }

  close (): void {
    for (const child of this.children) child.kill('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

export async function measureSerf ({ count, events, idleMs, losses }: SerfInit): Promise<SerfFigures> {
  const agents = new Agents(await freePorts(2 * count))
  const figures: SerfFigures = { joinKnownMs: [], eventKnownMs: [], crashKnownMs: [], silenceKnownMs: [], rssBytes: [], idleCpuPercent: [] }
  try {
    for (const i of numbers(count)) {
      const from = nowMs()
      agents.start(i)
      // The others know the newcomer, and the newcomer knows them.
      const wanted = numbers(i).flatMap((other): Array<[number, string]> => [[other, `member-join ${i}`], [i, `member-join ${other}`]])
      if (i > 0) figures.joinKnownMs.push(await agents.allNoted(wanted, from))
      while (!agents.isUp(i)) await sleep(20)
    }
    for (const k of numbers(events)) {
      const from = nowMs()
      agents.rpc(k % count, 'event', '-coalesce=false', `bench${k}`)
      figures.eventKnownMs.push(await agents.allNoted(numbers(count).map((i): [number, string] => [i, `user bench${k}`]), from))
    }
    await measureIdle(agents, idleMs, figures)
    if (losses) await measureLosses(agents, figures)
  } finally {
    agents.close()
  }
  return figures
}

async function measureIdle ({ children }: Agents, idleMs: number, figures: SerfFigures): Promise<void> {
  const cpu = (): number[] => children.map(child => cpuMsOf(child.pid as number))
  const before = cpu()
  await sleep(idleMs)
  figures.idleCpuPercent = cpu().map((ms, i) => (ms - (before[i] ?? 0)) / idleMs * 100)
  figures.rssBytes = children.map(child => rssOf(child.pid as number))
}

async function measureLosses (agents: Agents, figures: SerfFigures): Promise<void> {
  const lost = agents.children.length - 1
  const failed = (): Array<[number, string]> => numbers(lost).map(i => [i, `member-failed ${lost}`])
  const stopped = nowMs()
  agents.children[lost]?.kill('SIGSTOP')
  figures.silenceKnownMs.push(await agents.allNoted(failed(), stopped))
  agents.children[lost]?.kill('SIGCONT')
  await agents.allNoted(numbers(lost).map(i => [i, `member-join ${lost}`]), stopped)
  const killed = nowMs()
  agents.children[lost]?.kill('SIGKILL')
  figures.crashKnownMs.push(await agents.allNoted(failed(), killed))
}
