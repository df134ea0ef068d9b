/** What the devices know of one another, and how soon; beside it serf, the same number of agents in the same run. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lastAt, type Device, type Lab } from './lab.ts'
import type { Report } from './report.ts'
import type { SerfFigures } from './serf.ts'
import { nowMs, sleep } from './stats.ts'

type Serf = SerfFigures | undefined
const peer = (name: string, values: number[] | undefined): Record<string, number[]> => values === undefined ? {} : { [name]: values }

/** Grows the lab to its size; each joiner is one figure. */
export async function measureJoin (report: Report, lab: Lab, size: number, serf: Serf): Promise<void> {
  const known: number[] = []
  const ready: number[] = []
  for (let i = 0; i < size; i++) {
    const { from, readyAt } = await lab.add()
    const all = await lastAt(lab.devices, { do: 'online', count: i + 1 })
    if (i === 0) continue
    known.push(all - from)
    ready.push(readyAt - from)
  }
  report.add({ id: 'join', what: 'join known by all: process begun, ticket in hand, to the last device that shows it', unit: 'ms', devices: size, ours: known, peers: peer('serf', serf?.joinKnownMs), target: '< serf' })
  report.add({ id: 'join-ready', what: 'of that, until the joiner itself is ready', unit: 'ms', devices: size, ours: ready })
}

export async function measureRtt (report: Report, lab: Lab): Promise<void> {
  await sleep(1_000)
  const replies = await Promise.all(lab.devices.map(device => device.ask({ do: 'rtt' })))
  report.add({ id: 'rtt', what: 'RTT between devices, as their own probes see it', unit: 'ms', devices: lab.devices.length, ours: replies.flatMap(({ rttMs }) => rttMs as number[]) })
}

/** A slot is taken: until every device shows it. Zero is the grant, or the first device that shows it when that is earlier. */
export async function measureAdverts (report: Report, lab: Lab, times: number, serf: Serf): Promise<void> {
  const [laptop] = lab.devices as [Device]
  const source = mkdtempSync(join(tmpdir(), 'elder-bench-src-'))
  writeFileSync(join(source, 'in.txt'), 'x\n')
  const ms: number[] = []
  for (let k = 0; k < times; k++) {
    await lastAt(lab.devices, { do: 'idle' })
    const shown = lab.devices.map(device => device.ask({ do: 'busy' }))
    await laptop.ask({ do: 'begin', request: { source, command: ['sleep', '1'] } })
    const granted = await laptop.ask({ do: 'event', event: 'elected', nth: 1 })
    const at = (await Promise.all(shown)).map(reply => reply.at)
    ms.push(Math.max(...at) - Math.min(granted.at, ...at))
    await laptop.ask({ do: 'event', event: 'result', nth: 1 })
  }
  rmSync(source, { recursive: true, force: true })
  report.add({ id: 'advert', what: 'advert: a slot is taken, to the last device that shows it', unit: 'ms', devices: lab.devices.length, ours: ms, peers: peer('serf event', serf?.eventKnownMs), target: '< serf' })
}

/** A note is added: until the last of the other devices has it. */
export async function measureEdits (report: Report, lab: Lab, times: number, serf: Serf): Promise<void> {
  const { devices } = lab
  const [first] = devices as [Device]
  await first.ask({ do: 'fill', stack: 'bench', count: 1 })
  await Promise.all(devices.map(device => device.ask({ do: 'watch', stack: 'bench' })))
  const everywhere: number[] = []
  const durable: number[] = []
  for (let k = -devices.length; k < times; k++) {
    const writer = devices[(k + devices.length) % devices.length] as Device
    const title = `note ${k}`
    const { at, durableMs } = await writer.ask({ do: 'write', stack: 'bench', title })
    const last = await lastAt(devices.filter(device => device !== writer), { do: 'seen', title })
    // The first of every device opens its feed: not what this row is about.
    if (k < 0) continue
    everywhere.push(last - at)
    durable.push(durableMs as number)
  }
  const target = 'p50 <= RTT/2 + 5, p99 < 100'
  report.add({ id: 'edit', what: 'local edit on every peer: write begun to the last device that has it', unit: 'ms', devices: devices.length, ours: everywhere, peers: peer('serf event', serf?.eventKnownMs), target })
  report.add({ id: 'edit-durable', what: 'of that, until it is on the writer\'s own disk (fsync)', unit: 'ms', devices: devices.length, ours: durable })
}

/** Nothing is asked of anybody. */
export async function measureIdle (report: Report, lab: Lab, ms: number, serf: Serf): Promise<void> {
  const usage = (): Promise<Array<Record<string, number>>> => Promise.all(lab.devices.map(device => device.ask({ do: 'usage' }) as unknown as Promise<Record<string, number>>))
  const before = await usage()
  await sleep(ms)
  const after = await usage()
  const rate = (name: string): number[] => after.map((use, i) => ((use[name] ?? 0) - (before[i]?.[name] ?? 0)) / ((use['at'] ?? 0) - (before[i]?.['at'] ?? 0)))
  const [user, system, sent] = [rate('user'), rate('system'), rate('sentBytes')]
  const devices = lab.devices.length
  report.add({ id: 'idle-cpu', what: `idle CPU of each device, over ${ms / 1000} s`, unit: '% of a core', devices, ours: user.map((u, i) => (u + (system[i] ?? 0)) / 10), peers: peer('serf agent', serf?.idleCpuPercent), target: '< 1' })
  report.add({ id: 'idle-bytes', what: 'idle traffic sent by each device', unit: 'B/s', devices, ours: sent.map(rate => rate * 1000), target: '< 850 (serf, measured elsewhere)' })
  report.add({ id: 'rss', what: 'RSS of each device', unit: 'MB', devices, ours: after.map(use => (use['rssBytes'] ?? 0) / 1e6), peers: peer('serf agent', serf?.rssBytes.map(bytes => bytes / 1e6)), target: '<= 130' })
}

/** The last device is frozen (its sockets stay open, nothing answers), then another is killed (the kernel closes its sockets). */
export async function measureLoss (report: Report, lab: Lab, serf: Serf): Promise<void> {
  const devices = lab.devices.length
  const frozen = lab.devices.at(-1) as Device
  const others = lab.devices.slice(0, -1)
  const stopped = nowMs()
  frozen.kill('SIGSTOP')
  const silence = await lastAt(others, { do: 'offline', device: frozen.name }) - stopped
  frozen.kill('SIGCONT')
  await lastAt(lab.devices, { do: 'online', count: devices })
  const killed = nowMs()
  frozen.kill('SIGKILL')
  const crash = await lastAt(others, { do: 'offline', device: frozen.name }) - killed
  await lab.drop(frozen)
  report.add({ id: 'crash', what: 'crash (kill -9) known by all', unit: 'ms', devices, ours: [crash], peers: peer('serf', serf?.crashKnownMs), target: '< serf' })
  report.add({ id: 'silence', what: 'silence (SIGSTOP: power or cable) known by all', unit: 'ms', devices, ours: [silence], peers: peer('serf', serf?.silenceKnownMs), target: '< serf' })
}
