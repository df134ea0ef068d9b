/** What Linux says of a process. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Resident set, bytes. */
export function rssOf (pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1024
}

/** User and system time so far, milliseconds, in the kernel's ticks of 10. */
export function cpuMsOf (pid: number): number {
  const [utime = 0, stime = 0] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').slice(11, 13).map(Number)
  return (utime + stime) * 10
}

export interface Memory { rssBytes: number, pssBytes: number, privateBytes: number, peakBytes: number }

/** Resident; its share of pages that are mapped more than once; written by it alone; the most it ever had. */
export function memoryOf (pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (text: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024
  return { rssBytes: bytes(rollup, 'Rss'), pssBytes: bytes(rollup, 'Pss'), privateBytes: bytes(rollup, 'Private_Dirty'), peakBytes: bytes(status, 'VmHWM') }
}

/** Files, sockets, pipes that it holds open. */
export function openFilesOf (pid: number): number { return readdirSync(`/proc/${pid}/fd`).length }

/** Bytes sent by each of its open TCP connections, as the kernel counts them: ends of the connection -> bytes. */
export function bytesSentBy (pid: number): Map<string, number> {
  const lines = execFileSync('ss', ['-tinpOH', 'state', 'established'], { encoding: 'utf8', maxBuffer: 2 ** 24 }).split('\n')
  return new Map(lines.filter(line => line.includes(`pid=${pid},`)).map(line => [line.trim().split(/\s+/).slice(2, 4).join(' '), Number(/\bbytes_sent:(\d+)/.exec(line)?.[1] ?? 0)]))
}
