/** Finding and ending processes through /proc. Linux. */
import { closeSync, openSync, readSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'

/** Bytes of a status file up to its Gid line, and to spare. */
const HEAD_BYTES = 1024
/** Files read in one go before others get their turn. */
const AT_ONCE = 256

/**
 * Running processes that have an id of the range as user or group: real, effective, saved or for files, since what a program
 * with the setuid bit starts has its caller's real one. Zombies hold nothing and do not count. Asked several times per build:
 * read without the thread pool and into one buffer, a file costs a tenth.
 */
export async function processesOf (firstUid: number, count: number): Promise<number[]> {
  const head = Buffer.allocUnsafe(HEAD_BYTES)
  const found: number[] = []
  const pids = (await readdir('/proc').catch((): string[] => [])).filter(name => /^\d+$/.test(name)).map(Number)
  for (const [i, pid] of pids.entries()) {
    if (i > 0 && i % AT_ONCE === 0) await nextTurn()
    const text = statusHead(pid, head)
    const ids = [...text.matchAll(/^[UG]id:(.*)$/gm)].flatMap(([, line = '']) => line.trim().split(/\s+/).map(Number))
    if (ids.some(id => id >= firstUid && id < firstUid + count) && pid !== process.pid && !/^State:\s+[ZX]/m.test(text)) found.push(pid)
  }
  return found
}

/** Empty for a process that has ended meanwhile. */
function statusHead (pid: number, head: Buffer): string {
  let file: number | undefined
  try {
    file = openSync(`/proc/${pid}/status`, 'r')
    return head.toString('latin1', 0, readSync(file, head, 0, HEAD_BYTES, 0))
  } catch {
    return ''
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Processes whose TMPDIR is the path or lies below it: how a build without a uid of its own is recognised. */
export async function processesUnder (path: string): Promise<number[]> {
  const isBelow = (text: string): boolean => text.split('\0').some(pair => pair === `TMPDIR=${path}` || pair.startsWith(`TMPDIR=${path}/`))
  const names = (await readdir('/proc').catch((): string[] => [])).filter(name => /^\d+$/.test(name))
  const found = await Promise.all(names.map(async name => isBelow(await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '')) ? Number(name) : 0))
  return found.filter(pid => pid > 0 && pid !== process.pid)
}

export async function pidsIn (procsFile: string): Promise<number[]> {
  return (await readFile(procsFile, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number)
}

/** As they are named where files and processes are listed together. */
export function pathsOf (pids: readonly number[]): string[] { return pids.map(pid => `/proc/${pid}`) }

export function kill (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

/** Kills what `list` finds until it finds nothing; a fork bomb may need several turns. @returns what is left when the time is up */
export async function killAll (list: () => Promise<number[]>, deadlineMs = 1500): Promise<number[]> {
  const end = performance.now() + deadlineMs
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    const pids = await list()
    if (pids.length === 0) return []
    pids.forEach(kill)
    if (performance.now() > end) return pids
    await delay(wait)
  }
}
