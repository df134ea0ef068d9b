/** What Linux says of a process. */
import { readFileSync } from 'node:fs'

/** Resident set, bytes. */
export function rssOf (pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1024
}

/** User and system time so far, milliseconds, in the kernel's ticks of 10. */
export function cpuMsOf (pid: number): number {
  const [utime = 0, stime = 0] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').slice(11, 13).map(Number)
  return (utime + stime) * 10
}
