/**
 * One node per data directory. The lock names a process by its id and its start time, so that a lock left by a SIGKILL or a
 * power cut is recognised even when the process id is in use again.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { ElderError } from '@elder-node/protocol'
import { storageError, writeAll } from './files.ts'

export interface Lock {
  /** Removes the lock, if it is still ours. Never throws. */
  release (): void
}

interface Holder { pid: number, started: string }

/** @throws ElderError `LOCKED` when another node runs on this directory; `data.pid` names it */
export function takeLock (path: string): Lock {
  const self = { pid: process.pid, started: startTime(process.pid) ?? '' }
  for (let attempt = 0; attempt < 5; attempt++) {
    if (tryCreate(path, self)) return { release: () => { release(path, self) } }
    const holder = readHolder(path)
    if (holder !== undefined && isAlive(holder)) throw locked(path, holder)
    removeStale(path)
  }
  throw locked(path, readHolder(path))
}

/** The process that holds the lock now, if it runs: how a client finds out whether a node is there. */
export function lockHolder (path: string): number | undefined {
  const holder = readHolder(path)
  return holder !== undefined && isAlive(holder) ? holder.pid : undefined
}

/** Whole or not at all: nobody ever reads half a lock and takes it for a stale one. */
function tryCreate (path: string, holder: Holder): boolean {
  const temporary = `${path}.${holder.pid}`
  try {
    rmSync(temporary, { force: true })
    writeDurable(temporary, Buffer.from(JSON.stringify(holder)))
    linkSync(temporary, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw storageError(path, error)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** A power cut must not leave a lock without its holder's name. */
function writeDurable (path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o600)
  try {
    writeAll(fd, bytes)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Moves the stale lock aside first: when another starter was faster, what we moved is its fresh lock, and it gets it back. */
function removeStale (path: string): void {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    const holder = readHolder(aside)
    if (holder !== undefined && isAlive(holder)) linkSync(aside, path)
  } catch {
    // Gone already, or taken again: the next round sees which.
  } finally {
    rmSync(aside, { force: true })
  }
}

function readHolder (path: string): Holder | undefined {
  try {
    const { pid, started } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder>
    return typeof pid === 'number' && pid > 0 && typeof started === 'string' ? { pid, started } : undefined
  } catch {
    return undefined
  }
}

function isAlive ({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startTime(pid)
  return now === undefined || started === '' || now === started
}

/** When the process started, in whatever unit the system has; undefined when it does not say. */
function startTime (pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
      // Field 22; the command in field 2 may hold spaces and brackets. A zombie (state Z) holds nothing any more.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return fields[0] === 'Z' ? 'dead' : `${boot}/${fields[19]}`
    }
    if (process.platform !== 'win32') return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    // Gone, or hidden from us: the caller decides by the process id alone.
  }
  return undefined
}

function release (path: string, self: Holder): void {
  const holder = readHolder(path)
  if (holder?.pid === self.pid && holder.started === self.started) rmSync(path, { force: true })
}

function locked (path: string, holder: Holder | undefined): ElderError {
  const who = holder === undefined ? 'Another node' : `Another node (process ${holder.pid})`
  return new ElderError('LOCKED', `${who} already runs on this data directory.`, `See it: elder-node status${holder === undefined ? '' : `   To start it anew: kill ${holder.pid}`}   A second node needs its own --dir.`, { path, ...(holder !== undefined ? { pid: holder.pid } : {}) })
}
