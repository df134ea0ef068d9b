/** Who holds a TCP port: Linux only, from /proc, without a child process. */
import { readFile, readdir, readlink } from 'node:fs/promises'

export interface PortHolder { pid: number, name: string }

const LISTEN = '0A'

/** Undefined when nobody listens there, the holder belongs to another user, or the system has no /proc. */
export async function portHolder (port: number): Promise<PortHolder | undefined> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(path => readFile(path, 'utf8').catch(() => '')))
  const inodes = new Set(tables.flatMap(table => listeningInodes(table, port)))
  if (inodes.size === 0) return undefined
  for (const pid of await pids()) {
    if (await holds(pid, inodes)) return { pid, name: await nameOf(pid) }
  }
  return undefined
}

/** Inodes of the sockets that listen on the port, in the format of /proc/net/tcp. */
export function listeningInodes (table: string, port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return table.split('\n').map(line => line.trim().split(/\s+/))
    .filter(fields => fields[3] === LISTEN && fields[1]?.endsWith(`:${hex}`) === true)
    .map(fields => fields[9] ?? '')
    .filter(inode => inode !== '')
}

async function pids (): Promise<number[]> {
  return (await readdir('/proc').catch(() => [])).filter(name => /^\d+$/.test(name)).map(Number)
}

async function holds (pid: number, inodes: Set<string>): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const fd of fds) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')
    if (inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? '')) return true
  }
  return false
}

async function nameOf (pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim()
}
