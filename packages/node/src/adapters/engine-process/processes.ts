/** Finding and ending processes through /proc. Linux. */
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** Processes of which `match` says yes to their /proc file; those that end meanwhile are skipped. */
async function find (file: 'status' | 'environ', match: (text: string) => boolean): Promise<number[]> {
  const names = (await readdir('/proc').catch((): string[] => [])).filter(name => /^\d+$/.test(name))
  const found = await Promise.all(names.map(async name => match(await readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '')) ? Number(name) : 0))
  return found.filter(pid => pid > 0 && pid !== process.pid)
}

/** Running processes whose real uid is in the range; zombies hold nothing and do not count. */
export function processesOf (firstUid: number, count: number): Promise<number[]> {
  return find('status', text => {
    const uid = Number(/^Uid:\s+(\d+)/m.exec(text)?.[1] ?? -1)
    return uid >= firstUid && uid < firstUid + count && !/^State:\s+[ZX]/m.test(text)
  })
}

/** Processes whose TMPDIR is the path or lies below it: how a build without a uid of its own is recognised. */
export function processesUnder (path: string): Promise<number[]> {
  return find('environ', text => text.split('\0').some(pair => pair === `TMPDIR=${path}` || pair.startsWith(`TMPDIR=${path}/`)))
}

export async function pidsIn (procsFile: string): Promise<number[]> {
  return (await readFile(procsFile, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number)
}

export function kill (pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

/** Kills what `list` finds until it finds nothing; a fork bomb may need several turns. False when the time is up. */
export async function killAll (list: () => Promise<number[]>, deadlineMs = 1500): Promise<boolean> {
  const end = performance.now() + deadlineMs
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    const pids = await list()
    if (pids.length === 0) return true
    pids.forEach(kill)
    if (performance.now() > end) return false
    await delay(wait)
  }
}
