/** As root on Linux: a PID namespace per build that dies with its first process, a uid per slot, limits by cgroup or prlimit. */
import { spawn } from 'node:child_process'
import { ElderError } from '@elder-node/protocol'
import type { Limits, RunSpec } from '../../ports/engine.ts'
import type { Cage, Caged } from './cage.ts'
import { findControllers, groupsIn, LimitGroup, removeBases, type Controller } from './cgroup.ts'
import { killAll, processesOf } from './processes.ts'
import { INIT, LAUNCH } from './script.ts'
import { findTool } from './tools.ts'
import { removeStrays } from './trees.ts'
import { claimUids, type UidBlock } from './uids.ts'

export class NamespaceCage implements Cage {
  readonly description: string
  readonly #tools: Record<'setpriv' | 'unshare' | 'sh', string>
  readonly #prlimit: string | undefined
  readonly #controllers: Controller[]
  readonly #uids: UidBlock

  private constructor (tools: Record<'setpriv' | 'unshare' | 'sh', string>, controllers: Controller[], uids: UidBlock) {
    this.#tools = tools
    this.#controllers = controllers
    this.#uids = uids
    this.#prlimit = findTool('prlimit')
    this.description = `unprivileged users ${uids.first}-${uids.first + uids.count - 1}, PID namespaces; ${limitsText(controllers, this.#prlimit)}; network and file system are not isolated`
  }

  /** @param group - Name of this engine's cgroups; unique on the machine. @param cgroups - False: limits by prlimit only. */
  static async open (root: string, group: string, init: { claimDir?: string, cgroups?: boolean }): Promise<NamespaceCage> {
    const tools = { setpriv: findTool('setpriv'), unshare: findTool('unshare'), sh: findTool('sh') }
    const missing = Object.entries(tools).filter(([, path]) => path === undefined).map(([name]) => name)
    if (missing.length > 0) throw new ElderError('ENGINE_UNAVAILABLE', `the process engine needs ${missing.join(', ')} when the node runs as root`, 'Install the package util-linux, or run the node as an ordinary user.')
    const controllers = init.cgroups === false ? [] : await findControllers(group)
    const uids = await claimUids(root, init.claimDir === undefined ? {} : { dir: init.claimDir })
    return new NamespaceCage(tools as Record<'setpriv' | 'unshare' | 'sh', string>, controllers, uids)
  }

  uidOf (slot: number): number {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#uids.count) throw new ElderError('SLOT_INVALID', `slot ${slot} has no user: a node has at most ${this.#uids.count}`)
    return this.#uids.first + slot
  }

  async start (spec: RunSpec, script: string): Promise<Caged> {
    const uid = this.uidOf(spec.slot)
    const group = new LimitGroup(this.#controllers, spec.id)
    await group.create(spec.limits)
    const { setpriv, unshare, sh } = this.#tools
    const drop = [setpriv, '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--inh-caps=-all', '--no-new-privs', '--']
    const child = spawn(setpriv, [
      '--pdeathsig', 'KILL', sh, '-c', LAUNCH, 'sh', `${process.pid}`, ...group.procsFiles, '--',
      unshare, '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc', sh, '-c', INIT, 'sh',
      ...this.#rlimits(spec.limits), ...drop, sh, script, ...spec.command,
    ], { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const left = async (): Promise<number[]> => [...new Set([...await group.pids(), ...await processesOf(uid, 1)])]
    return {
      child,
      kill: async () => {
        child.kill('SIGKILL')
        await killAll(left)
      },
      reason: () => group.reason(),
      release: () => group.remove(),
    }
  }

  /** What no cgroup bounds is bounded per user (processes) and per process (memory). */
  #rlimits (limits: Limits): string[] {
    if (this.#prlimit === undefined) return []
    const names = this.#controllers.map(controller => controller.name)
    const flags = [
      ...(names.includes('pids') ? [] : [`--nproc=${limits.pidsMax}`]),
      ...(names.includes('memory') ? [] : [`--data=${limits.memoryBytes}`]),
    ]
    return flags.length === 0 ? [] : [this.#prlimit, ...flags]
  }

  async sweep (): Promise<void> {
    for (const id of await groupsIn(this.#controllers)) {
      const group = new LimitGroup(this.#controllers, id)
      await killAll(() => group.pids())
      await group.remove()
    }
    await killAll(() => processesOf(this.#uids.first, this.#uids.count))
    await removeStrays(this.#uids.first, this.#uids.count)
  }

  async close (): Promise<void> {
    await removeBases(this.#controllers)
    await this.#uids.release()
  }
}

function limitsText (controllers: Controller[], prlimit: string | undefined): string {
  const byGroup = controllers.map(controller => `${controller.name} by cgroup v${controller.version}`)
  const rest = ['memory', 'pids'].filter(name => !controllers.some(controller => controller.name === name))
  const byProcess = rest.map(name => prlimit === undefined ? `${name} unlimited (no prlimit)` : `${name} by prlimit (${name === 'memory' ? 'per process' : 'per user'})`)
  return `limits: ${[...byGroup, ...byProcess].join(', ')}`
}
