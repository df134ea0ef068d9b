/** What engines of plain processes share: trees, the script that becomes the command, the log, the disk limit, the verdict. What holds a build together is a {@link Cage}. */
import { chown, rm, rmdir, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Engine, EngineName, Leftover, RunEvent, RunSpec } from '../../ports/engine.ts'
import { DiskWatch } from '../disk-watch.ts'
import { CANCELLED, DISK_FULL, signalOf } from '../engine-common/exit.ts'
import { Leftovers } from '../engine-common/leftovers.ts'
import { Opening } from '../engine-common/opening.ts'
import { checkId, checkTree, workingDirectory } from '../engine-common/spec-checks.ts'
import { folderOf, makeFolder, ownTree, slotOf } from '../engine-common/trees.ts'
import { findTool } from '../system-tools.ts'
import type { Cage, Caged } from './cage.ts'
import { pathsOf } from './processes.ts'
import { buildScript } from './script.ts'
import { ChildStream, type Exit } from './stream.ts'

export interface Opened { root: string, cage: Cage }

export interface CagedEngineInit {
  name: EngineName
  /** Said before the cage's own description. */
  title: string
  /** Makes root and cage; throws ElderError when the engine cannot run here. Asked again after a failure. */
  open: () => Promise<Opened>
  /** The root is the engine's own and goes with it when it is empty. */
  ownsRoot: boolean
}

export class CagedEngine implements Engine {
  readonly name: EngineName
  readonly #init: CagedEngineInit
  readonly #opening: Opening<Opened>
  readonly #left = new Leftovers()
  #description: string

  constructor (init: CagedEngineInit) {
    this.name = init.name
    this.#init = init
    this.#description = `${init.name}: not checked yet`
    this.#opening = new Opening(() => this.#open())
  }

  get description (): string { return this.#description }

  async check (): Promise<void> { await this.#opening.get() }

  /** Files for builds (certificates, settings) go below this folder, which every build's user can traverse. */
  async root (): Promise<string> { return (await this.#opening.get()).root }

  /** True when builds run as users of their own, which cannot read this node's private files. */
  async separateUsers (): Promise<boolean> { return (await this.#opening.get()).cage.uidOf(0) !== undefined }

  async createTree (id: string, slot: number): Promise<string> {
    const { root, cage } = await this.#opening.get()
    await cage.clear(slot)
    return makeFolder(root, checkId(id), slot, cage.uidOf(slot))
  }

  async removeTree (tree: string): Promise<void> {
    const { root, cage } = await this.#opening.get()
    checkTree(root, tree)
    await this.#left.remove(folderOf(tree).folder, cage.uidOf(slotOf(tree))).finally(() => cage.clear(slotOf(tree)))
  }

  async * run (spec: RunSpec, { signal }: { signal: AbortSignal }): AsyncGenerator<RunEvent> {
    const opened = await this.#opening.get()
    const { cage } = opened
    const script = await prepare(this.name, opened, spec)
    if (signal.aborted) return yield CANCELLED
    const folder = folderOf(spec.tree)
    const caged = await cage.start(spec, script, folder)
    const cancel = (): void => { void caged.kill() }
    signal.addEventListener('abort', cancel, { once: true })
    // It may have come while the cage was made.
    if (signal.aborted) cancel()
    const disk = new DiskWatch({ folders: async () => [folder.folder, ...await cage.strays(spec.slot)], bytesMax: spec.limits.diskBytes, onFull: cancel })
    try {
      yield * follow(caged, disk, signal)
    } finally {
      disk.stop()
      signal.removeEventListener('abort', cancel)
      this.#left.note(pathsOf(await caged.kill()))
      await caged.release()
      await rm(script, { force: true })
    }
  }

  async sweep (): Promise<void> {
    const { root, cage } = await this.#opening.get()
    this.#left.note(await cage.sweep())
    await this.#left.sweep(root)
  }

  leftovers (): Leftover[] { return this.#left.list() }

  async close (): Promise<void> {
    const opened = await this.#opening.take()
    if (opened === undefined) return
    await opened.cage.close()
    // Only what is empty, and only what this engine made for itself.
    if (this.#init.ownsRoot) await rmdir(opened.root).catch(() => undefined)
  }

  async #open (): Promise<Opened> {
    const opened = await this.#init.open()
    this.#description = `${this.#init.title}: ${opened.cage.description}`
    return opened
  }
}

async function * follow (caged: Caged, disk: DiskWatch, signal: AbortSignal): AsyncGenerator<RunEvent> {
  const stream = new ChildStream(caged.child)
  // The command has ended: whatever it left in the background ends too, and with it the pipes.
  const gone = stream.exited.then(async () => {
    await caged.kill()
    stream.finish()
  })
  gone.catch(() => undefined)
  yield { type: 'started' }
  yield * stream.logs()
  const exit = await stream.exited.catch((error: unknown) => { throw new ElderError('ENGINE_FAILED', `the build could not be started: ${(error as Error).message}`, '', {}, { cause: error }) })
  await gone
  yield signal.aborted ? CANCELLED : disk.full ? DISK_FULL : await verdict(exit, caged)
}

/** Through a shell a death by signal n is the exit code 128 + n: read back as that signal. */
async function verdict ({ code, signal }: Exit, caged: Caged): Promise<RunEvent> {
  const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal])
  return { type: 'exit', exitCode, signal: signal ?? signalOf(exitCode), reason: exitCode === 0 ? null : await caged.reason() }
}

/** Checks the spec, hands the tree to the build's user and writes the script that becomes the command. */
async function prepare (name: EngineName, { root, cage }: Opened, spec: RunSpec): Promise<string> {
  if (spec.sealed && !cage.seals) throw new ElderError('SEALED_UNSUPPORTED', `the ${name} engine cannot cut a build off from the network`, 'Drop --sealed, or choose a builder with Docker, Podman or sandbox: --on <device>.')
  if (spec.image !== null) throw new ElderError('IMAGE_UNSUPPORTED', `the ${name} engine runs no images: ${spec.image}`, 'Choose a builder with Docker or Podman: --on <device>, or leave the image out.')
  checkId(spec.id)
  checkTree(root, spec.tree)
  if (spec.command.length === 0) throw new Error('the command is empty')
  const own = folderOf(spec.tree)
  const { tree, home, tmp } = cage.places(own)
  const cwd = join(tree, await workingDirectory(spec))
  const script = join(own.folder, `run-${spec.id}.sh`)
  await writeFile(script, buildScript({ ...spec.env, HOME: home, TMPDIR: tmp }, cwd, findTool('env') ?? '/usr/bin/env'), { mode: 0o400, flag: 'wx' })
  const uid = cage.uidOf(spec.slot)
  if (uid !== undefined) {
    await chown(script, uid, uid)
    await ownTree(spec.tree, uid)
  }
  return script
}
