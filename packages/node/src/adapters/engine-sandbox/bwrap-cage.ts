/**
 * As an ordinary user on Linux: bubblewrap gives each build namespaces of its own (users, mounts, processes, IPC, host name,
 * and the network when sealed). Its PID namespace ends with its first process, and that one with this node.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open as openFile, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { arch, release } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ElderError } from '@elder-node/protocol'
import type { Limits, RunSpec } from '../../ports/engine.ts'
import type { Cage, Caged } from '../engine-process/cage.ts'
import { findControllers, groupName, groupsIn, LimitGroup, type Controller } from '../engine-process/cgroup.ts'
import { kill, killAll, pathsOf } from '../engine-process/processes.ts'
import { LAUNCH } from '../engine-process/script.ts'
import type { BuildFolder } from '../engine-common/trees.ts'
import { findTool } from '../system-tools.ts'
import { homeFolder } from '../xdg.ts'
import { bwrapArguments, countsPerNamespace, INSIDE, isVisible, type SystemEntry } from './plan.ts'
import { findBwrap, systemEntries, tryBwrap, unavailable } from './probe.ts'
import { seccompProgram } from './seccomp.ts'

const FDS = { seccomp: 3, info: 4 }
/** bwrap tells the pid of its first process before it starts the command. */
const INFO_MS = 1000

interface Parts { root: string, bwrap: string, version: string, system: SystemEntry[], hidden: string[], program: Uint8Array, controllers: Controller[] }
interface SandboxFiles { passwd: string, group: string, seccomp: string }

export class BwrapCage implements Cage {
  readonly description: string
  readonly seals = true
  readonly #parts: Parts
  readonly #sh = findTool('sh') ?? '/bin/sh'
  readonly #setpriv = findTool('setpriv')
  readonly #prlimit = findTool('prlimit')

  private constructor (parts: Parts) {
    this.#parts = parts
    this.description = `bubblewrap ${parts.version}, seccomp, own files, users and processes; network of this device unless sealed; ${this.#limitsText()}`
  }

  /** @param group - Name of this engine's cgroups; unique on the machine. @param init.hide - No build's business, wherever they lie. @throws ElderError `ENGINE_UNAVAILABLE` */
  static async open (root: string, group: string, init: { cgroups?: boolean, hide?: string[] } = {}): Promise<BwrapCage> {
    const cpu = arch()
    if (cpu !== 'x64' && cpu !== 'arm64') throw unavailable(`the sandbox has no list of system calls for ${cpu}`, 'Use --engine docker.')
    const { bwrap, version } = await findBwrap()
    const system = await systemEntries()
    const hidden = await visibleOf([...[homeFolder() ?? []].flat(), root, ...init.hide ?? []])
    const program = seccompProgram(cpu)
    const trial = await mkdtemp(join(root, 'trial-'))
    try {
      const files = await writeFiles(trial, program)
      await tryBwrap(bwrap, bwrapArguments({ system, hidden, accounts: files, sealed: true, readable: [], fds: FDS }), files.seccomp)
    } finally {
      await rm(trial, { recursive: true, force: true })
    }
    const controllers = init.cgroups === false ? [] : await findControllers(group)
    return new BwrapCage({ root, bwrap, version, system, hidden, program, controllers })
  }

  uidOf (): undefined { return undefined }

  places (): typeof INSIDE { return INSIDE }

  async clear (): Promise<void> { /* builds have no user of their own */ }

  async strays (): Promise<string[]> { return [] }

  async start (spec: RunSpec, script: string, folder: BuildFolder): Promise<Caged> {
    const { bwrap, root, system, hidden, program: filterProgram, controllers } = this.#parts
    const group = new LimitGroup(controllers, groupName(spec))
    await group.create(spec.limits).catch((error: unknown) => { throw new ElderError('ENGINE_FAILED', `the limits of the build could not be set: ${(error as Error).message}`, '', {}, { cause: error }) })
    const files = await writeFiles(folder.folder, filterProgram)
    const args = bwrapArguments({ system, hidden, accounts: files, sealed: spec.sealed, readable: [join(root, 'environment'), script], folder, fds: FDS })
    const [program = this.#sh, ...rest] = [
      ...(this.#setpriv === undefined ? [] : [this.#setpriv, '--pdeathsig', 'KILL']), this.#sh, '-c', LAUNCH, 'sh', `${process.pid}`, ...group.procsFiles, '--',
      bwrap, ...args, '--', ...this.#rlimits(spec.limits), this.#sh, script, ...spec.command,
    ]
    const filter = await openFile(files.seccomp)
    const child = spawn(program, rest, { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['ignore', 'pipe', 'pipe', filter.fd, 'pipe'], detached: true })
    await filter.close()
    const first = firstProcess(child)
    return {
      child,
      kill: async () => {
        await end(child, first)
        return await killAll(() => group.pids())
      },
      reason: () => group.reason(),
      release: () => group.remove(),
    }
  }

  /** Inside the sandbox, where the kernel counts only its processes. */
  #rlimits (limits: Limits): string[] {
    if (this.#prlimit === undefined) return []
    const flags = [
      ...(this.#has('pids') || !countsPerNamespace(release()) ? [] : [`--nproc=${limits.pidsMax}`]),
      ...(this.#has('memory') ? [] : [`--data=${limits.memoryBytes}`]),
    ]
    return flags.length === 0 ? [] : [this.#prlimit, ...flags]
  }

  #has (name: Controller['name']): boolean { return this.#parts.controllers.some(controller => controller.name === name) }

  #limitsText (): string {
    const byGroup = this.#parts.controllers.map(({ name, version }) => `${name} by cgroup v${version}`)
    const pids = this.#has('pids') ? [] : [this.#prlimit !== undefined && countsPerNamespace(release()) ? 'pids by prlimit' : 'no pids limit']
    const memory = this.#has('memory') ? [] : [`no memory limit (no cgroup of this user's own${this.#prlimit === undefined ? '' : '; each process by prlimit'})`]
    return `limits: ${[...byGroup, ...pids, ...memory, 'disk by watching'].join(', ')}`
  }

  /** A node that died took its builds with it; what is found here is what a kernel without that promise left. */
  async sweep (): Promise<string[]> {
    const left: number[] = []
    for (const id of await groupsIn(this.#parts.controllers)) {
      const group = new LimitGroup(this.#parts.controllers, id)
      left.push(...await killAll(() => group.pids()))
      await group.remove()
    }
    return pathsOf([...left, ...await killAll(() => bwrapsOf(this.#parts.root))])
  }

  async close (): Promise<void> { /* nothing was claimed */ }
}

/** Those that are inside of what every build sees: as when the data directory is /opt/elder-node. */
async function visibleOf (paths: string[]): Promise<string[]> {
  const real = await Promise.all(paths.map(path => realpath(path).catch(() => undefined)))
  return [...new Set(real.filter(path => path !== undefined && isVisible(path)))].filter(path => path !== undefined)
}

/** Programs ask who they are: one user, the one that runs them. The filter is read by bwrap from a file of its own. */
async function writeFiles (dir: string, program: Uint8Array): Promise<SandboxFiles> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  const files = { passwd: join(dir, 'passwd'), group: join(dir, 'group'), seccomp: join(dir, 'seccomp') }
  await writeFile(files.passwd, `build:x:${uid}:${gid}:build:${INSIDE.home}:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`)
  await writeFile(files.group, `build:x:${gid}:\nnogroup:x:65534:\n`)
  await writeFile(files.seccomp, program)
  return files
}

/** The first process of the sandbox, as this machine numbers it. Undefined when bwrap ended before it had one. Read to its end, or bwrap dies writing. */
function firstProcess (child: ChildProcess): Promise<number | undefined> {
  const info = child.stdio[FDS.info] as NodeJS.ReadableStream
  let text = ''
  return new Promise(resolve => {
    info.on('data', (data: Buffer) => {
      text += data.toString()
      const pid = /"child-pid":\s*(\d+),/.exec(text)?.[1]
      if (pid !== undefined) resolve(Number(pid))
    })
    for (const event of ['end', 'error', 'close']) info.once(event, () => { resolve(undefined) })
    child.once('error', () => { resolve(undefined) })
  })
}

/**
 * While bwrap lives its first process cannot be reaped, so the pid is that one's. When it has died the kernel has killed
 * everything in the namespace before its end could be seen.
 */
async function end (child: ChildProcess, first: Promise<number | undefined>): Promise<void> {
  const running = (): boolean => child.exitCode === null && child.signalCode === null
  if (child.pid === undefined) return
  const pid = await Promise.race([first, delay(INFO_MS, undefined, { ref: false })])
  if (running()) {
    const exit = once(child, 'exit')
    if (pid !== undefined) kill(pid)
    else child.kill('SIGKILL')
    await Promise.race([exit, delay(INFO_MS)])
    if (running()) child.kill('SIGKILL')
  }
  // bwrap itself was killed: its first process dies by the parent-death signal, a moment later.
  if (pid !== undefined) await killAll(async () => await isBwrap(pid) ? [pid] : [])
}

async function isBwrap (pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return /^\d+ \(bwrap\) [^ZX]/.test(stat)
}

async function bwrapsOf (root: string): Promise<number[]> {
  const found = await Promise.all((await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(async name => {
    const [program = '', ...args] = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0')
    return program.endsWith('bwrap') && args.some(arg => arg.startsWith(`${root}/`)) && await isBwrap(Number(name)) ? [Number(name)] : []
  }))
  return found.flat()
}
