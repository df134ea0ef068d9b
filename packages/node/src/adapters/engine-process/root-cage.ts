/**
 * As root on Linux: a uid per slot, limits by cgroup or prlimit, and a PID namespace per build that dies with its first process.
 * Where namespaces are not allowed (root inside a container), the uid is what finds and ends all processes of a build, and a
 * watchdog does so when this node dies.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { ElderError } from '@elder-node/protocol'
import type { Limits, RunSpec } from '../../ports/engine.ts'
import type { Cage, Caged } from './cage.ts'
import { findControllers, groupName, groupsIn, LimitGroup, type Controller } from './cgroup.ts'
import { killAll, pathsOf, processesOf } from './processes.ts'
import { INIT, LAUNCH, UID_WATCHDOG } from './script.ts'
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'
import { removeStrays, straysOf, type BuildFolder } from '../engine-common/trees.ts'
import { claimUids, uidOfSlot, type UidBlock } from '../engine-common/uids.ts'

export interface RootCageInit {
  /** False: limits by prlimit only. @default true */
  cgroups?: boolean
  /** False: never use PID namespaces. @default true, where the kernel allows them */
  namespaces?: boolean
}

interface Tools { setpriv: string, unshare: string, sh: string, prlimit: string | undefined }

const ENV = { PATH: '/usr/bin:/bin' }
const NAMESPACE = ['--pid', '--ipc', '--fork', '--kill-child', '--mount-proc']

export class RootCage implements Cage {
  readonly description: string
  readonly seals = false
  readonly #tools: Tools
  readonly #controllers: Controller[]
  readonly #uids: UidBlock
  readonly #namespaces: boolean

  private constructor (tools: Tools, controllers: Controller[], uids: UidBlock, namespaces: boolean) {
    this.#tools = tools
    this.#controllers = controllers
    this.#uids = uids
    this.#namespaces = namespaces
    const together = namespaces ? 'PID namespaces' : 'no PID namespaces (not allowed here)'
    this.description = `unprivileged users ${uids.first}-${uids.first + uids.count - 1}, ${together}; ${limitsText(controllers, tools.prlimit)}; network and file system are not isolated`
  }

  /** @param group - Name of this engine's cgroups; unique on the machine. */
  static async open (root: string, group: string, init: RootCageInit): Promise<RootCage> {
    const tools = findTools()
    const controllers = init.cgroups === false ? [] : await findControllers(group)
    const namespaces = init.namespaces !== false && await runTool(tools.unshare, [...NAMESPACE, 'true']).then(() => true, () => false)
    const uids = await claimUids(root)
    return new RootCage(tools, controllers, uids, namespaces)
  }

  uidOf (slot: number): number { return uidOfSlot(this.#uids, slot) }

  places (folder: BuildFolder): BuildFolder { return folder }

  strays (slot: number): Promise<string[]> { return straysOf(this.uidOf(slot), 1) }

  /** A program that a build left with the setuid bit gives its user to whoever starts it, until it is removed. */
  async clear (slot: number): Promise<void> { await killAll(() => processesOf(this.uidOf(slot), 1)) }

  async start (spec: RunSpec, script: string): Promise<Caged> {
    const uid = this.uidOf(spec.slot)
    const group = new LimitGroup(this.#controllers, groupName(spec))
    await group.create(spec.limits).catch((error: unknown) => { throw new ElderError('ENGINE_FAILED', `the limits of the build could not be set: ${(error as Error).message}`, '', {}, { cause: error }) })
    const { setpriv, unshare, sh } = this.#tools
    const watchdog = this.#namespaces ? undefined : this.#watch(uid)
    const child = spawn(setpriv, [
      '--pdeathsig', 'KILL', sh, '-c', LAUNCH, 'sh', `${process.pid}`, ...group.procsFiles, '--',
      ...(this.#namespaces ? [unshare, ...NAMESPACE, sh, '-c', INIT, 'sh'] : []),
      ...this.#rlimits(spec.limits), ...this.#drop(uid), sh, script, ...spec.command,
    ], { cwd: '/', env: ENV, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    return {
      child,
      kill: async () => {
        child.kill('SIGKILL')
        return await this.#killUser(uid, group)
      },
      reason: () => group.reason(),
      release: async () => {
        watchdog?.stdin?.end('done\n')
        await group.remove()
      },
    }
  }

  #drop (uid: number): string[] {
    return [this.#tools.setpriv, '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--inh-caps=-all', '--no-new-privs', '--']
  }

  async #killUser (uid: number, group: LimitGroup): Promise<number[]> {
    const left = async (): Promise<number[]> => [...new Set([...await group.pids(), ...await processesOf(uid, 1)])]
    // Without a namespace a fork bomb could outrun a walk through /proc: `kill -1` takes all of a user's processes at once.
    if (!this.#namespaces && (await left()).length > 0) await this.#asUser(uid, 'kill -9 -1')
    return await killAll(left)
  }

  /** It may kill its own shell: what it leaves is looked at afterwards. */
  async #asUser (uid: number, script: string): Promise<void> {
    const [program = '', ...args] = [...this.#drop(uid), this.#tools.sh, '-c', script]
    await runTool(program, args).catch(() => undefined)
  }

  #watch (uid: number): ChildProcess {
    const watchdog = spawn(this.#tools.sh, ['-c', UID_WATCHDOG, 'sh', this.#tools.sh, ...this.#drop(uid)], { cwd: '/', env: ENV, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    watchdog.on('error', () => undefined)
    watchdog.stdin?.on('error', () => undefined)
    watchdog.unref()
    return watchdog
  }

  /** What no cgroup bounds is bounded per user (processes) and per process (memory). */
  #rlimits (limits: Limits): string[] {
    if (this.#tools.prlimit === undefined) return []
    const names = this.#controllers.map(controller => controller.name)
    const flags = [
      ...(names.includes('pids') ? [] : [`--nproc=${limits.pidsMax}`]),
      ...(names.includes('memory') ? [] : [`--data=${limits.memoryBytes}`]),
    ]
    return flags.length === 0 ? [] : [this.#tools.prlimit, ...flags]
  }

  async sweep (): Promise<string[]> {
    const processes: number[] = []
    for (const id of await groupsIn(this.#controllers)) {
      const group = new LimitGroup(this.#controllers, id)
      processes.push(...await killAll(() => group.pids()))
      await group.remove()
    }
    const users = (): Promise<number[]> => killAll(() => processesOf(this.#uids.first, this.#uids.count))
    await users()
    const strays = await removeStrays(this.#uids.first, this.#uids.count)
    // What a stray with the setuid bit has started until it was removed.
    processes.push(...await users())
    return [...pathsOf(processes), ...strays]
  }

  close (): Promise<void> { return this.#uids.release() }
}

function findTools (): Tools {
  const [setpriv, unshare, sh] = ['setpriv', 'unshare', 'sh'].map(name => {
    const path = findTool(name)
    if (path === undefined) throw new ElderError('ENGINE_UNAVAILABLE', `the process engine needs ${name} when the node runs as root`, 'Install the package util-linux, or run the node as an ordinary user.')
    return path
  }) as [string, string, string]
  return { setpriv, unshare, sh, prlimit: findTool('prlimit') }
}

function limitsText (controllers: Controller[], prlimit: string | undefined): string {
  const byGroup = controllers.map(controller => `${controller.name} by cgroup v${controller.version}`)
  const rest = ['memory', 'pids'].filter(name => !controllers.some(controller => controller.name === name))
  const byProcess = rest.map(name => prlimit === undefined ? `${name} unlimited (no prlimit)` : `${name} by prlimit (${name === 'memory' ? 'per process' : 'per user'})`)
  return `limits: ${[...byGroup, ...byProcess].join(', ')}`
}
