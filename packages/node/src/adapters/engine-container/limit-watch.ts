/**
 * Whether a container hit a limit. No API tells of processes, and Podman on cgroup v1 not of memory; the kernel counts both in the
 * container's cgroup, which is gone a moment after the last process. So its files are opened before the first process (the cgroup
 * is made some 20 ms earlier) and read a hundred times a second, which costs less than a thousandth of a core.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { every } from '../../timers.ts'
import type { DaemonInfo } from './client.ts'

export type LimitReason = 'memory' | 'pids'

const POLL_MS = 10
const ROOT = '/sys/fs/cgroup'
const COUNTERS = {
  1: { memory: 'memory.oom_control', pids: 'pids.events' },
  2: { memory: 'memory.events', pids: 'pids.events' },
} as const
const COUNT: Record<LimitReason, RegExp> = { memory: /^oom_kill ([1-9]\d*)$/m, pids: /^max ([1-9]\d*)$/m }
const FILE_BYTES = 1024

type Driver = Pick<DaemonInfo, 'CgroupDriver' | 'CgroupVersion'>

/** Below the mount point: where Docker and Podman usually put the cgroup of a container. */
export function cgroupPaths (id: string, { CgroupDriver }: Driver, uid: number): string[] {
  if (CgroupDriver !== 'systemd') return [`docker/${id}`, `libpod_parent/libpod-${id}`]
  const user = `user.slice/user-${uid}.slice/user@${uid}.service`
  return ['system.slice/docker-', 'machine.slice/libpod-', `${user}/user.slice/docker-`, `${user}/user.slice/libpod-`, `${user}/app.slice/docker-`].map(path => `${path}${id}.scope`)
}

export class LimitWatch {
  readonly #version: 1 | 2
  readonly #paths: string[]
  readonly #files = new Map<LimitReason, number>()
  readonly #hits = new Set<LimitReason>()
  readonly #buffer = Buffer.alloc(FILE_BYTES)
  readonly #timer: NodeJS.Timeout

  /** Begins at once; before the container starts. */
  constructor (id: string, driver: Driver, uid: number) {
    this.#version = driver.CgroupVersion === '2' ? 2 : 1
    this.#paths = cgroupPaths(id, driver, uid)
    // A look that fails counts as none: the last one, at the end of the output, decides.
    this.#timer = every(POLL_MS, () => { this.look() }, () => {})
    this.#timer.unref()
  }

  /** The limit that was hit, memory first. */
  get reason (): LimitReason | null { return this.#hits.has('memory') ? 'memory' : this.#hits.has('pids') ? 'pids' : null }

  /** Its first process says where the cgroup is, when it is at no usual place. */
  started (pid: number): void {
    if (this.#files.size === 0 && pid > 0) this.#paths.push(...pathsOf(pid))
    this.look()
  }

  /** Reads the counters now; the last moment is the end of the output. @returns false when the one of processes could not be read */
  look (): boolean {
    let counted = false
    for (const reason of ['memory', 'pids'] as const) {
      const file = this.#files.get(reason) ?? this.#open(reason)
      if (file === undefined) continue
      try {
        if (COUNT[reason].test(this.#buffer.toString('latin1', 0, readSync(file, this.#buffer, 0, FILE_BYTES, 0)))) this.#hits.add(reason)
        counted ||= reason === 'pids'
      } catch {
        // The cgroup is gone.
      }
    }
    return counted
  }

  stop (): void {
    clearInterval(this.#timer)
    for (const file of this.#files.values()) closeSync(file)
    this.#files.clear()
  }

  #open (reason: LimitReason): number | undefined {
    const root = this.#version === 1 ? join(ROOT, reason) : ROOT
    for (const path of this.#paths) {
      try {
        const file = openSync(join(root, path, COUNTERS[this.#version][reason]), 'r')
        this.#files.set(reason, file)
        return file
      } catch {
        // Not here, or not yet.
      }
    }
    return undefined
  }
}

function pathsOf (pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').flatMap(line => {
      const [, names, path] = line.split(':')
      return path !== undefined && (names === '' || names?.split(',').includes('pids') === true) ? [path] : []
    })
  } catch {
    return []
  }
}
