/** Which processes of this machine carry a mark in their arguments or environment (Linux). */
import { readFile, readdir } from 'node:fs/promises'

export interface Marked { pid: number, started: string }

/** Undefined where the system has no /proc. */
export async function markedProcesses (mark: string, except: Set<number>): Promise<Marked[] | undefined> {
  const names = await readdir('/proc').catch(() => undefined)
  if (names === undefined || !names.includes('self')) return undefined
  const found: Marked[] = []
  for (const pid of names.filter((name) => /^\d+$/.test(name)).map(Number)) {
    if (except.has(pid) || !await carries(pid, mark)) continue
    const started = await startTime(pid)
    if (started !== undefined) found.push({ pid, started })
  }
  return found
}

/** True while exactly this process, not a later one with its number, still runs. */
export async function stillRuns ({ pid, started }: Marked): Promise<boolean> {
  return await startTime(pid) === started
}

async function carries (pid: number, mark: string): Promise<boolean> {
  const texts = await Promise.all(['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')))
  return texts.some((text) => text.includes(mark))
}

/** Undefined when it is gone; a zombie runs no more. */
async function startTime (pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' ? undefined : fields[19]
}
