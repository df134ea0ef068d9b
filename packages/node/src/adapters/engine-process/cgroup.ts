/** Limits by cgroup, version 1, version 2 or both at once (hybrid). What is not usable here is left out, never faked. */
import { access, constants, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Limits, RunSpec } from '../../ports/engine.ts'
import { kill, pidsIn } from './processes.ts'

type ControllerName = 'memory' | 'pids' | 'cpu'
/** `base` is this engine's own group of the controller: each build gets a child of it. It is there only while a build is. */
export interface Controller { name: ControllerName, version: 1 | 2, base: string }

const NAMES: ControllerName[] = ['memory', 'pids', 'cpu']
const PERIOD_US = 100_000
/** A file that exists in every child group when the controller is on. */
const PROBE = { 1: { memory: 'memory.limit_in_bytes', pids: 'pids.max', cpu: 'cpu.cfs_quota_us' }, 2: { memory: 'memory.max', pids: 'pids.max', cpu: 'cpu.max' } } as const

/**
 * The controllers in which groups named `group` can be made: by root below the root of the hierarchy, by a user below the
 * nearest group that was delegated to it, as systemd does for `user@.service` and for services with `Delegate=yes`.
 *
 * @param init.proc - Folder with `mounts` and `self/cgroup`. @default /proc
 * @param init.asRoot - @default whether this process is root
 */
export async function findControllers (group: string, init: { proc?: string, asRoot?: boolean } = {}): Promise<Controller[]> {
  const { proc = '/proc', asRoot = process.getuid?.() === 0 } = init
  const mounts = (await readFile(join(proc, 'mounts'), 'utf8').catch(() => '')).split('\n').map(line => line.split(' '))
  const own = (await readFile(join(proc, 'self/cgroup'), 'utf8').catch(() => '')).split('\n').map(line => line.split(':'))
  const found = await Promise.all(NAMES.map(async name => {
    const v1 = mounts.find(mount => mount[2] === 'cgroup' && mount[3]?.split(',').includes(name) === true)?.[1]
    if (v1 !== undefined) return usable(name, 1, await parentV1(v1, own.find(line => line[1]?.split(',').includes(name) === true)?.[2]), group)
    const v2 = mounts.find(mount => mount[2] === 'cgroup2')?.[1]
    if (v2 === undefined) return undefined
    for (const parent of asRoot ? [v2] : await delegated(v2, own.find(line => line[0] === '0')?.[2])) {
      const controller = await usable(name, 2, parent, group)
      if (controller !== undefined) return controller
    }
    return undefined
  }))
  return found.filter(controller => controller !== undefined)
}

/** This process's group and those above it into which it may move processes, nearest first. Version 2 wants its processes in leaves, so the nearest may fail. */
async function delegated (mount: string, own = '/'): Promise<string[]> {
  const found: string[] = []
  for (let path = join(mount, own); path.startsWith(mount); path = dirname(path)) {
    if (await access(join(path, 'cgroup.procs'), constants.W_OK).then(() => true, () => false)) found.push(path)
  }
  return found
}

/** Below the node's own group, so its limits hold too; in a container that path may not be there. */
async function parentV1 (mount: string, own = '/'): Promise<string> {
  const path = join(mount, own)
  return await access(path).then(() => path, () => mount)
}

async function usable (name: ControllerName, version: 1 | 2, parent: string, group: string): Promise<Controller | undefined> {
  const base = join(parent, group)
  const probe = join(base, 'probe')
  try {
    if (version === 2) await writeFile(join(parent, 'cgroup.subtree_control'), `+${name}`).catch(() => undefined)
    await mkdir(base, { recursive: true })
    if (version === 2) await writeFile(join(base, 'cgroup.subtree_control'), `+${name}`)
    await mkdir(probe, { recursive: true })
    await access(join(probe, PROBE[version][name]))
    return { name, version, base }
  } catch {
    return undefined
  } finally {
    await rmdir(probe).catch(() => undefined)
    await rmdir(base).catch(() => undefined)
  }
}

function settings ({ name, version }: Controller, limits: Limits): Array<[file: string, value: string, optional?: true]> {
  const quota = String(Math.max(1000, Math.round(limits.cpus * PERIOD_US)))
  if (name === 'pids') return [['pids.max', String(limits.pidsMax)]]
  if (name === 'cpu') return version === 1 ? [['cpu.cfs_period_us', String(PERIOD_US)], ['cpu.cfs_quota_us', quota], ['cpu.shares', '256', true]] : [['cpu.max', `${quota} ${PERIOD_US}`], ['cpu.weight', '25', true]]
  const bytes = String(limits.memoryBytes)
  return version === 1 ? [['memory.limit_in_bytes', bytes], ['memory.memsw.limit_in_bytes', bytes, true]] : [['memory.max', bytes], ['memory.swap.max', '0', true]]
}

/** A slot has one build at a time: whatever it is called, it shares its group with no other. */
export function groupName ({ id, slot }: Pick<RunSpec, 'id' | 'slot'>): string { return `${id}.${slot}` }

/** The groups of one build. */
export class LimitGroup {
  readonly #parts: Array<Controller & { path: string }>

  constructor (controllers: Controller[], id: string) {
    this.#parts = controllers.map(controller => ({ ...controller, path: join(controller.base, id) }))
  }

  /** Files a process writes its pid to; one per hierarchy. */
  get procsFiles (): string[] { return [...new Set(this.#parts.map(part => join(part.path, 'cgroup.procs')))] }

  async create (limits: Limits): Promise<void> {
    for (const part of this.#parts) {
      await mkdir(part.path, { recursive: true })
      if (part.version === 2) await writeFile(join(part.base, 'cgroup.subtree_control'), `+${part.name}`)
      for (const [file, value, optional] of settings(part, limits)) {
        const written = writeFile(join(part.path, file), value)
        await (optional === true ? written.catch(() => undefined) : written)
      }
    }
  }

  /** The limit that was hit, memory first. */
  async reason (): Promise<'memory' | 'pids' | null> {
    for (const part of this.#parts) {
      if (part.name === 'memory' && await counter(join(part.path, part.version === 1 ? 'memory.oom_control' : 'memory.events'), 'oom_kill') > 0) return 'memory'
    }
    for (const part of this.#parts) {
      if (part.name === 'pids' && await counter(join(part.path, 'pids.events'), 'max') > 0) return 'pids'
    }
    return null
  }

  async pids (): Promise<number[]> { return (await Promise.all(this.procsFiles.map(pidsIn))).flat() }

  /** The groups must be empty of processes; the kernel needs a moment after the last one. The base goes with its last child. */
  async remove (): Promise<void> {
    for (const { path, base } of this.#parts) {
      for (let turn = 0; turn < 30 && !await rmdir(path).then(() => true, error => (error as { code?: string }).code === 'ENOENT'); turn++) {
        ;(await pidsIn(join(path, 'cgroup.procs'))).forEach(kill)
        await delay(Math.min(10, turn + 1))
      }
      await rmdir(base).catch(() => undefined)
    }
  }
}

async function counter (file: string, name: string): Promise<number> {
  const text = await readFile(file, 'utf8').catch(() => '')
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
}

/** Names of the build groups that exist: what an earlier life left behind. */
export async function groupsIn (controllers: Controller[]): Promise<string[]> {
  const lists = await Promise.all(controllers.map(({ base }) => readdir(base, { withFileTypes: true }).catch(() => [])))
  return [...new Set(lists.flat().filter(entry => entry.isDirectory()).map(entry => entry.name))]
}
