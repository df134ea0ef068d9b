/**
 * Whether a container hit its limit of processes. No API tells; the kernel counts it in the container's cgroup, which is gone
 * a moment after the last process. So the file is watched from before the first process: the cgroup is made some 20 ms earlier.
 */
import { existsSync, readFileSync, watch, type FSWatcher } from 'node:fs'
import { join } from 'node:path'
import type { DaemonInfo } from './client.ts'

const POLL_MS = 4
const EVENTS = 'pids.events'

/** Folders that a daemon gives to a container's cgroup, by its driver; the usual ones of Docker and Podman. */
export function cgroupPaths (id: string, { CgroupDriver, CgroupVersion }: Pick<DaemonInfo, 'CgroupDriver' | 'CgroupVersion'>, uid: number): string[] {
  const root = CgroupVersion === '2' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids'
  const user = `user.slice/user-${uid}.slice/user@${uid}.service`
  const paths = CgroupDriver === 'systemd'
    ? ['system.slice/docker-', 'machine.slice/libpod-', `${user}/user.slice/docker-`, `${user}/user.slice/libpod-`, `${user}/app.slice/docker-`].map(path => `${path}${id}.scope`)
    : [`docker/${id}`, `libpod_parent/libpod-${id}`]
  return paths.map(path => join(root, path))
}

export class PidsWatch {
  readonly #paths: string[]
  #hit = false
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined

  /** Begins at once; before the container starts. */
  constructor (paths: string[]) {
    this.#paths = paths
    this.#timer = setInterval(() => { this.#find() }, POLL_MS)
  }

  /** True when a process could not be made. */
  get hit (): boolean { return this.#hit }

  /** The container runs: where its cgroup is not at a usual place, its first process says where. */
  started (pid: number): void {
    if (this.#watcher === undefined && pid > 0) this.#paths.push(...pathsOf(pid))
    this.#find()
    clearInterval(this.#timer)
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#watcher?.close()
  }

  #find (): void {
    if (this.#watcher !== undefined) return
    const file = this.#paths.map(path => join(path, EVENTS)).find(path => existsSync(path))
    if (file === undefined) return
    clearInterval(this.#timer)
    try {
      this.#watcher = watch(file, { persistent: false }, kind => { if (kind === 'change' && count(file) !== 0) this.#hit = true })
      this.#watcher.on('error', () => undefined)
    } catch {
      // It ended in this moment.
    }
    if ((count(file) ?? 0) > 0) this.#hit = true
  }
}

/** Undefined when the cgroup is gone: a change that was told just before it went is still a hit. */
function count (file: string): number | undefined {
  try {
    return Number(/^max (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? 0)
  } catch {
    return undefined
  }
}

function pathsOf (pid: number): string[] {
  try {
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').map(line => line.split(':'))
    return lines.flatMap(([, names = '', path = '']) => names.split(',').includes('pids') ? [join('/sys/fs/cgroup/pids', path)] : names === '' ? [join('/sys/fs/cgroup', path)] : [])
  } catch {
    return []
  }
}
