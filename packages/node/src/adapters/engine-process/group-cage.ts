/** As an ordinary user, on Linux and macOS: a process group per build and a watchdog that kills it when this node dies. */
import { spawn, type ChildProcess } from 'node:child_process'
import { platform } from 'node:os'
import type { RunSpec } from '../../ports/engine.ts'
import type { Cage, Caged } from './cage.ts'
import { Mask } from './mask.ts'
import { killAll, pathsOf, processesUnder } from './processes.ts'
import { WATCHDOG } from './script.ts'
import { findTool } from '../system-tools.ts'
import type { BuildFolder } from '../engine-common/trees.ts'

export class GroupCage implements Cage {
  readonly description: string
  readonly seals = false
  readonly #root: string
  readonly #mask: Mask | undefined
  readonly #sh = findTool('sh') ?? '/bin/sh'
  readonly #prlimit = platform() === 'linux' ? findTool('prlimit') : undefined

  /** `hide`: what is the node's alone: its data directory, the folder of its control socket. */
  static async open (root: string, hide: string[]): Promise<GroupCage> {
    const apart = hide.filter(folder => !`${root}/`.startsWith(`${folder}/`))
    return new GroupCage(root, platform() === 'linux' ? await Mask.open(apart) : undefined)
  }

  private constructor (root: string, mask: Mask | undefined) {
    this.#root = root
    this.#mask = mask
    const memory = this.#prlimit === undefined ? 'no limits' : 'memory limited per process by prlimit, processes and CPU not limited'
    const escape = platform() === 'linux' ? '' : ', and a process that starts its own session can outlive its build'
    const reads = mask === undefined ? 'a build can read what you can read, the key of this device included' : 'a build can read what you can read, but not the data directory of this node'
    this.description = `runs as this node's own user, nothing is isolated: ${reads}; process group with a watchdog${escape}; ${memory}`
  }

  uidOf (): undefined { return undefined }

  places (folder: BuildFolder): BuildFolder { return folder }

  async clear (): Promise<void> { /* builds have no user of their own */ }

  /** What it leaves elsewhere has the owner's name: it cannot be told from the owner's own. */
  async strays (): Promise<string[]> { return [] }

  async start (spec: RunSpec, script: string, { tmp }: BuildFolder): Promise<Caged> {
    const limit = this.#prlimit === undefined ? [] : [this.#prlimit, `--data=${spec.limits.memoryBytes}`, '--core=0']
    const [program = this.#sh, ...args] = [...limit, ...this.#mask?.command ?? [], this.#sh, script, ...spec.command]
    const child = spawn(program, args, { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const watchdog = this.#watch(child, tmp)
    return {
      child,
      kill: async () => {
        killGroup(child)
        return await killAll(() => processesUnder(tmp))
      },
      reason: async () => null,
      release: async () => { watchdog?.stdin?.end('done\n') },
    }
  }

  #watch (child: ChildProcess, tmp: string): ChildProcess | undefined {
    if (child.pid === undefined) return undefined
    const args = ['-c', WATCHDOG, 'sh', String(child.pid), tmp, findTool('grep') ?? 'grep']
    const watchdog = spawn(this.#sh, args, { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    watchdog.on('error', () => undefined)
    watchdog.stdin?.on('error', () => undefined)
    watchdog.unref()
    return watchdog
  }

  async sweep (): Promise<string[]> { return pathsOf(await killAll(() => processesUnder(this.#root))) }

  async close (): Promise<void> { /* nothing was claimed */ }
}

/** The group lives as long as one member does, so this is right even after the leader has ended. */
function killGroup (child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The whole group has ended.
  }
}
