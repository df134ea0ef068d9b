/** What this machine has and how busy it is. On Linux one sample is four small files and a statfs. */
import { readFile, readdir, statfs } from 'node:fs/promises'
import { arch, availableParallelism, cpus, freemem, hostname, platform, totalmem } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { HostFacts, HostSample, Sensors } from '../ports/host.ts'

export interface SensorsInit {
  /** The disk whose space counts: where builds run. */
  dir: string
  /** @default /proc */
  proc?: string
  /** @default /sys */
  sys?: string
}

interface Ticks { busy: number, total: number }

/** Sensors of this machine; those of the file named by `ELDER_SENSORS` when it is set. */
export function openSensors (init: SensorsInit, env: NodeJS.ProcessEnv = process.env): Sensors {
  const real = platform() === 'linux' ? new LinuxSensors(init) : new OtherSensors(init)
  const file = env['ELDER_SENSORS']
  return file === undefined || file === '' ? real : new FixedSensors(file, real)
}

/** Facts that need no other program. The model comes from systeminformation where the system itself does not tell. */
async function readFacts (): Promise<HostFacts> {
  const model = cpus()[0]?.model.trim() ?? ''
  return {
    platform: `${platform()}/${arch()}`, cores: availableParallelism(), memoryTotalBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    cpuModel: model !== '' && model !== 'unknown' ? model : await modelName(), hostname: hostname(),
  }
}

async function modelName (): Promise<string> {
  const { cpu } = await import('systeminformation')
  const { manufacturer, brand } = await cpu().catch(() => ({ manufacturer: '', brand: '' }))
  return `${manufacturer} ${brand}`.trim() || 'unknown'
}

async function disk (dir: string): Promise<Pick<HostSample, 'diskFreeBytes' | 'diskTotalBytes'>> {
  const { bavail, blocks, bsize } = await statfs(dir)
  return { diskFreeBytes: bavail * bsize, diskTotalBytes: blocks * bsize }
}

/** Load is what happened since the last sample: two differences of counters. The first sample of a life counts since boot. */
class LoadMeter {
  #last: Ticks = { busy: 0, total: 0 }
  #load = 0

  next (now: Ticks): number {
    const total = now.total - this.#last.total
    // The counters tick 100 times a second: two samples at once have nothing between them.
    if (total > 0) {
      this.#load = Math.min(1, Math.max(0, (now.busy - this.#last.busy) / total))
      this.#last = now
    }
    return this.#load
  }
}

export class LinuxSensors implements Sensors {
  readonly #init: Required<SensorsInit>
  readonly #meter = new LoadMeter()
  #facts: Promise<HostFacts> | undefined

  constructor (init: SensorsInit) { this.#init = { proc: '/proc', sys: '/sys', ...init } }

  async facts (): Promise<HostFacts> { return { ...await (this.#facts ??= readFacts()) } }

  async sample (): Promise<HostSample> {
    const { proc, sys, dir } = this.#init
    const read = (file: string): Promise<string> => readFile(join(proc, file), 'utf8').catch(() => '')
    const [stat, meminfo, pressure, space, onBattery] = await Promise.all([read('stat'), read('meminfo'), read('pressure/cpu'), disk(dir), batteryOf(sys)])
    return { load: this.#meter.next(parseStat(stat)), pressure: parsePressure(pressure), memoryFreeBytes: parseMeminfo(meminfo), ...space, onBattery }
  }
}

/** First line of /proc/stat: user nice system idle iowait irq softirq steal, in ticks. Waiting for a disk is not load. */
function parseStat (text: string): Ticks {
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = (/^cpu +(.*)$/m.exec(text)?.[1] ?? '').split(' ').map(Number)
  const busy = user + nice + system + irq + softirq + steal
  return { busy, total: busy + idle + iowait }
}

/** MemAvailable: what a new build can have without swapping; caches count as free. Bounded by this process's own cgroup. */
function parseMeminfo (text: string): number {
  const available = /^MemAvailable: +(\d+) kB$/m.exec(text)?.[1]
  const bytes = available === undefined ? freemem() : Number(available) * 1024
  return Math.min(bytes, process.availableMemory())
}

/** `some avg10=12.34 ...` of PSI: percent of the last 10 s in which some task waited for the CPU. */
function parsePressure (text: string): number | undefined {
  const percent = /^some avg10=([\d.]+)/m.exec(text)?.[1]
  return percent === undefined ? undefined : Number(percent) / 100
}

/** A battery that discharges, while no other supply is online. */
async function batteryOf (sys: string): Promise<boolean> {
  const dir = join(sys, 'class/power_supply')
  const supplies = await Promise.all((await readdir(dir).catch((): string[] => [])).map(async name => {
    const read = async (file: string): Promise<string> => (await readFile(join(dir, name, file), 'utf8').catch(() => '')).trim()
    // A battery of scope Device is a mouse's.
    return { type: await read('type'), status: await read('status'), online: await read('online'), scope: await read('scope') }
  }))
  const own = supplies.filter(supply => supply.scope !== 'Device')
  return own.some(supply => supply.type === 'Battery' && supply.status === 'Discharging') && !own.some(supply => supply.type !== 'Battery' && supply.online === '1')
}

/** macOS and the rest: counters from Node, the battery from systeminformation (which forks: at most once a minute). */
export class OtherSensors implements Sensors {
  readonly #dir: string
  readonly #meter = new LoadMeter()
  #facts: Promise<HostFacts> | undefined
  #battery = { atMs: -Infinity, discharging: false }

  constructor ({ dir }: SensorsInit) { this.#dir = dir }

  async facts (): Promise<HostFacts> { return { ...await (this.#facts ??= readFacts()) } }

  async sample (): Promise<HostSample> {
    const times = cpus().map(cpu => cpu.times)
    const busy = times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, 0)
    const load = this.#meter.next({ busy, total: busy + times.reduce((sum, { idle }) => sum + idle, 0) })
    const { mem } = await import('systeminformation')
    const memoryFreeBytes = (await mem().catch(() => undefined))?.available ?? freemem()
    return { load, pressure: undefined, memoryFreeBytes, ...await disk(this.#dir), onBattery: await this.#onBattery() }
  }

  async #onBattery (): Promise<boolean> {
    const nowMs = performance.now()
    if (nowMs - this.#battery.atMs > 60_000) {
      const { battery } = await import('systeminformation')
      const found = await battery().catch(() => undefined)
      this.#battery = { atMs: nowMs, discharging: found?.hasBattery === true && !found.acConnected }
    }
    return this.#battery.discharging
  }
}

/**
 * Readings from a JSON file, for a harness whose nodes share one machine: any of the fields of {@link HostFacts} and
 * {@link HostSample}; the rest is real. Read again at each sample, so a test can make a device busy by writing the file; a file
 * that is half written leaves the last readings in force.
 */
class FixedSensors implements Sensors {
  readonly #file: string
  readonly #real: Sensors
  #last: Record<string, unknown> | undefined

  constructor (file: string, real: Sensors) {
    this.#file = file
    this.#real = real
  }

  async facts (): Promise<HostFacts> { return overlay(await this.#real.facts(), await this.#read()) }
  async sample (): Promise<HostSample> { return overlay(await this.#real.sample(), await this.#read()) }

  /** @throws ElderError `SENSORS_INVALID` when the file never was readable. */
  async #read (): Promise<Record<string, unknown>> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#file, 'utf8'))
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object')
      return this.#last = value as Record<string, unknown>
    } catch (error) {
      if (this.#last !== undefined) return this.#last
      throw new ElderError('SENSORS_INVALID', `the readings in ${this.#file} (ELDER_SENSORS) cannot be used: ${(error as Error).message}`, 'Write a JSON object into it.')
    }
  }
}

/** Takes the fields whose type is that of the real reading. A reading the system lacks (`pressure`) may be given as a number. */
function overlay<T extends object> (real: T, given: Record<string, unknown>): T {
  const fits = Object.entries(given).filter(([name, value]) => name in real && typeof value === typeof (real[name as keyof T] ?? 0))
  return { ...real, ...Object.fromEntries(fits) }
}
