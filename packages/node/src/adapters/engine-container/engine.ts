/**
 * The `docker` and `podman` engines: each build in a container of its own, hardened ({@link containerConfig}), its tree a folder
 * of this machine. One code for both: Podman's service speaks Docker's API.
 */
import { rmdir } from 'node:fs/promises'
import { codeOf, ElderError } from '@elder-node/protocol'
import { NO_DEFAULT_IMAGE, type Engine, type Leftover, type RunEvent, type RunSpec } from '../../ports/engine.ts'
import { DiskWatch } from '../disk-watch.ts'
import { CANCELLED, DISK_FULL, signalOf, type ExitEvent } from '../engine-common/exit.ts'
import { Leftovers } from '../engine-common/leftovers.ts'
import { Opening } from '../engine-common/opening.ts'
import { checkId, checkTree } from '../engine-common/spec-checks.ts'
import { folderOf, makeFolder } from '../engine-common/trees.ts'
import { checkSpec, prepareContainer } from './build-files.ts'
import type { ContainerClient } from './client.ts'
import { LABEL } from './container-config.ts'
import { Container } from './container.ts'
import { openDaemon, slotUid, type ContainerEngineInit, type Opened } from './daemon.ts'
import { demultiplex } from './demultiplex.ts'
import { UnreachableError } from './http.ts'
import { DEFAULT_IMAGE, findImage, listImages, type FoundImage } from './images.ts'
import { LastWords } from './last-words.ts'
import { LimitWatch, type LimitReason } from './limit-watch.ts'
import type { ContainerEngineName } from './sockets.ts'

export type { ContainerEngineInit } from './daemon.ts'

export class ContainerEngine implements Engine {
  readonly name: ContainerEngineName
  readonly #init: ContainerEngineInit
  readonly #opening: Opening<Opened>
  readonly #left = new Leftovers()
  #description: string
  /** Builds that name no image cannot run yet. */
  #bare = false

  constructor (init: ContainerEngineInit) {
    this.name = init.name
    this.#init = init
    this.#description = `${init.name}: not checked yet`
    this.#opening = new Opening(() => openDaemon(init))
  }

  get description (): string { return `${this.#description}${this.#bare ? `; ${NO_DEFAULT_IMAGE} (elder-node image build)` : ''}` }

  get bare (): boolean { return this.#bare }

  async check (): Promise<void> {
    this.#description = (await this.#opening.get()).description
    await this.images()
  }

  /** Files for builds (certificates, settings) go below this folder; containers see them at the same path. */
  async root (): Promise<string> { return (await this.#opening.get()).root }

  /** The default image first, if it is there. */
  async images (): Promise<string[]> {
    const names = (await listImages((await this.#opening.get()).client)).map(image => image.name)
    this.#bare = this.#init.image === undefined && !names.includes(DEFAULT_IMAGE)
    return names.toSorted((a, b) => Number(b === DEFAULT_IMAGE) - Number(a === DEFAULT_IMAGE))
  }

  async createTree (id: string, slot: number): Promise<string> {
    const opened = await this.#opening.get()
    return makeFolder(opened.root, checkId(id), slot, slotUid(opened, slot))
  }

  async removeTree (tree: string): Promise<void> {
    const { root } = await this.#opening.get()
    checkTree(root, tree)
    await this.#left.remove(folderOf(tree).folder, undefined)
  }

  async * run (spec: RunSpec, { signal }: { signal: AbortSignal }): AsyncGenerator<RunEvent> {
    const opened = await this.#opening.get()
    const cwd = await checkSpec(opened.root, spec)
    const image = yield * this.#image(opened.client, spec, signal)
    const config = image === undefined ? undefined : await prepareContainer(opened, spec, cwd, image, this.#init.network)
    if (config === undefined || signal.aborted) return yield CANCELLED
    const container = await Container.create(opened.client, config)
    const cancel = (): void => { void container.kill() }
    signal.addEventListener('abort', cancel, { once: true })
    const disk = new DiskWatch({ folders: () => [folderOf(spec.tree).folder], bytesMax: spec.limits.diskBytes, onFull: cancel })
    try {
      yield * this.#follow(opened, container, disk, signal)
    } finally {
      disk.stop()
      signal.removeEventListener('abort', cancel)
      await container.remove()
    }
  }

  async * #follow ({ info }: Opened, container: Container, disk: DiskWatch, signal: AbortSignal): AsyncGenerator<RunEvent> {
    const { output, limits } = await container.start(id => new LimitWatch(id, info, process.getuid?.() ?? 0))
    try {
      // An abort while it started found nothing to kill.
      if (signal.aborted) await container.kill()
      yield { type: 'started' }
      const words = new LastWords()
      for await (const { stream, data } of demultiplex(output)) {
        words.hear(data)
        yield { type: 'log', stream, data }
      }
      const counted = limits.look()
      const { exitCode, outOfMemory } = await container.ended()
      // On a starved machine the counters can be gone before they are read a last time.
      const reason = outOfMemory ? 'memory' : limits.reason ?? (!counted && words.noProcess ? 'pids' : null)
      yield signal.aborted ? CANCELLED : disk.full ? DISK_FULL : verdict(words.exitCode(exitCode), reason)
    } catch (error) {
      if (!signal.aborted) throw error
      await container.kill()
      yield CANCELLED
    } finally {
      limits.stop()
    }
  }

  /** Undefined when the build was cancelled meanwhile. What is pulled for it is in its log. */
  async * #image (client: ContainerClient, { image }: RunSpec, signal: AbortSignal): AsyncGenerator<RunEvent, FoundImage | undefined> {
    if (signal.aborted) return undefined
    const finding = findImage(client, image ?? this.#init.image ?? null, signal)
    try {
      for (;;) {
        const { value, done } = await finding.next()
        if (done === true) return value
        yield { type: 'log', stream: 'stderr', data: Buffer.from(value) }
      }
    } catch (error) {
      if (signal.aborted) return undefined
      if (error instanceof UnreachableError) throw new ElderError('ENGINE_UNAVAILABLE', `${this.name} does not answer on the builder: ${error.message}`, `Start it there again: sudo systemctl start ${this.name === 'docker' ? 'docker' : 'podman.socket'}`)
      if (codeOf(error) === 'IMAGE_MISSING' && image === null) this.#bare = true
      throw error
    }
  }

  async sweep (): Promise<void> {
    const { root, node, client } = await this.#opening.get()
    for (const { Id } of await client.list(`${LABEL.node}=${node}`)) await client.remove(Id)
    await this.#left.sweep(root)
  }

  leftovers (): Leftover[] { return this.#left.list() }

  async close (): Promise<void> {
    const opened = await this.#opening.take()
    if (opened === undefined) return
    await opened.uids?.release()
    if (this.#init.root === undefined) await rmdir(opened.root).catch(() => undefined)
  }
}

function verdict (exitCode: number, reason: LimitReason | null): ExitEvent {
  return { type: 'exit', exitCode, signal: signalOf(exitCode), reason: exitCode === 0 ? null : reason }
}
