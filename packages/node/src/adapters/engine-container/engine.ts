/**
 * The `docker` and `podman` engines: each build in a container of its own, hardened ({@link containerConfig}), its tree a folder
 * of this machine. One code for both: Podman's service speaks Docker's API.
 */
import { existsSync } from 'node:fs'
import { rmdir, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Engine, RunEvent, RunSpec } from '../../ports/engine.ts'
import { DiskWatch } from '../disk-watch.ts'
import { CANCELLED, checkId, checkTree, workingDirectory } from '../engine-process/caged-engine.ts'
import { folderOf, foldersIn, makeFolder, openRoot, ownTree, removeFolder, rootName } from '../engine-process/trees.ts'
import { claimUids, uidOfSlot, type UidBlock } from '../engine-process/uids.ts'
import type { ContainerClient, DaemonInfo } from './client.ts'
import { containerConfig, LABEL, limitsText } from './container-config.ts'
import { Container } from './container.ts'
import { demultiplex } from './demultiplex.ts'
import { identityOf, type Identity } from './identity.ts'
import { findImage, listImages, type FoundImage } from './images.ts'
import { LastWords } from './last-words.ts'
import { LimitWatch, type LimitReason } from './limit-watch.ts'
import { readTightened } from './seccomp.ts'
import { findDaemon, socketCandidates, type ContainerEngineName } from './sockets.ts'

export interface ContainerEngineInit {
  name: ContainerEngineName
  /** The node's data directory: names the engine's own folder and its containers. Nothing is written there. */
  dataDir: string
  /** Where trees live. @default as the process engine's */
  root?: string
  /** The daemon's Unix socket. @default DOCKER_HOST or CONTAINER_HOST, else the well-known ones */
  socket?: string
  /** The image of builds that name none. @default elder-node/default, which must have been built */
  image?: string
  /** Network of builds that are not sealed, as the engine names it. @default the engine's own */
  network?: string
}

interface Opened {
  root: string
  /** Names this node's containers. */
  node: string
  client: ContainerClient
  info: DaemonInfo
  rootless: boolean
  uids: UidBlock | undefined
  /** A system call filter; undefined: the daemon's own. */
  seccomp: string | undefined
}
type Exit = Extract<RunEvent, { type: 'exit' }>

export class ContainerEngine implements Engine {
  readonly name: ContainerEngineName
  readonly #init: ContainerEngineInit
  #opening: Promise<Opened> | undefined
  #description: string

  constructor (init: ContainerEngineInit) {
    this.name = init.name
    this.#init = init
    this.#description = `${init.name}: not checked yet`
  }

  get description (): string { return this.#description }

  async check (): Promise<void> { await this.#open() }

  /** Files for builds (certificates, settings) go below this folder; containers see them at the same path. */
  async root (): Promise<string> { return (await this.#open()).root }

  async images (): Promise<string[]> { return (await listImages((await this.#open()).client)).map(image => image.name) }

  async createTree (id: string, slot: number): Promise<string> {
    const opened = await this.#open()
    return makeFolder(opened.root, checkId(id), slot, slotUid(opened, slot))
  }

  async removeTree (tree: string): Promise<void> {
    const { root } = await this.#open()
    checkTree(root, tree)
    await removeFolder(folderOf(tree).folder, undefined)
  }

  async * run (spec: RunSpec, { signal }: { signal: AbortSignal }): AsyncGenerator<RunEvent> {
    const opened = await this.#open()
    const cwd = await checkSpec(opened.root, spec)
    const image = yield * this.#image(opened.client, spec, signal)
    const config = image === undefined ? undefined : await this.#config(opened, spec, cwd, image)
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
      yield signal.aborted ? CANCELLED : disk.full ? { ...CANCELLED, reason: 'disk' } : verdict(words.exitCode(exitCode), reason)
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
      throw error
    }
  }

  async #config (opened: Opened, spec: RunSpec, cwd: string, { name, details }: FoundImage): Promise<object> {
    const { root, node, info, seccomp } = opened
    const { folder, tree, home, tmp } = folderOf(spec.tree)
    const uid = slotUid(opened, spec.slot)
    if (uid !== undefined) await ownTree(tree, uid)
    const identity = this.#identity(opened, spec.slot)
    const environment = join(root, 'environment')
    return containerConfig({
      engine: this.name, spec, cwd, image: name, volumes: Object.keys(details.Config?.Volumes ?? {}), identity, info, node, tree, home, tmp,
      network: this.#init.network ?? (this.name === 'docker' ? 'default' : ''),
      seccomp: seccomp === undefined ? undefined : await put(folder, 'seccomp.json', seccomp),
      readOnly: { ...await names(folder, identity), ...(existsSync(environment) ? { [environment]: environment } : {}) },
    })
  }

  #identity ({ rootless, info, uids }: Opened, slot: number): Identity {
    const remapped = !rootless && (info.SecurityOptions ?? []).some(option => option.startsWith('name=userns'))
    return identityOf({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, { name: this.name, rootless, remapped }, uids === undefined ? undefined : uidOfSlot(uids, slot))
  }

  async sweep (): Promise<void> {
    const { root, node, client } = await this.#open()
    for (const { Id } of await client.list(`${LABEL.node}=${node}`)) await client.remove(Id)
    for (const folder of await foldersIn(root)) await removeFolder(folder, undefined)
  }

  async close (): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined)
    this.#opening = undefined
    if (opened === undefined) return
    await opened.uids?.release()
    if (this.#init.root === undefined) await rmdir(opened.root).catch(() => undefined)
  }

  #open (): Promise<Opened> {
    this.#opening ??= this.#openNow().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #openNow (): Promise<Opened> {
    const { name, dataDir, socket } = this.#init
    const found = await findDaemon(name, socket === undefined ? socketCandidates(name, process.env) : [socket], process.env)
    if (typeof found === 'string') throw new ElderError('ENGINE_UNAVAILABLE', `${name}: ${found}`, fixOf(found))
    const { client, version } = found
    const said = await client.info()
    const rootless = (said.SecurityOptions ?? []).includes('name=rootless') || said.Rootless === true
    // No daemon of an ordinary user can limit anything with cgroup v1, whatever it says of the kernel.
    const info = rootless && said.CgroupVersion !== '2' ? { ...said, MemoryLimit: false, SwapLimit: false, PidsLimit: false, CpuCfsQuota: false } : said
    const root = await openRoot(dataDir, this.#init.root)
    const uids = process.getuid?.() === 0 ? await claimUids(root) : undefined
    const opened: Opened = { root, node: rootName(root), client, info, rootless, uids, seccomp: undefined }
    try {
      this.#identity(opened, 0)
      if (name === 'podman') opened.seccomp = await readTightened(await client.seccompPath())
    } catch (error) {
      await uids?.release()
      throw error
    }
    this.#description = `${name} ${version}${rootless ? ', rootless' : ''}: a container without privileges per build${name === 'podman' && opened.seccomp === undefined ? ' (Podman\'s own system call filter: user namespaces are allowed)' : ''}; ${limitsText(info)}`
    return opened
  }
}

function slotUid ({ uids }: Opened, slot: number): number | undefined { return uids === undefined ? undefined : uidOfSlot(uids, slot) }

/** @returns the working directory, relative to the tree */
async function checkSpec (root: string, spec: RunSpec): Promise<string> {
  checkId(spec.id)
  checkTree(root, spec.tree)
  if (spec.command.length === 0) throw new Error('the command is empty')
  for (const [name, value] of Object.entries(spec.env)) {
    if (name === '' || /[=\0]/.test(name) || value.includes('\0')) throw new Error(`"${name}" cannot be passed to a build: a name is not empty and holds no "=", a value no NUL`)
  }
  return await workingDirectory(spec)
}

/** A user database that knows the build's user: programs that ask who they are get an answer in any image. */
async function names (folder: string, { user }: Identity): Promise<Record<string, string>> {
  const [uid, gid] = user.split(':')
  if (uid === '0') return {}
  const files = { passwd: `root:x:0:0:root:/root:/bin/sh\nbuild:x:${uid}:${gid}:build:/elder/home:/bin/sh\n`, group: `root:x:0:\nbuild:x:${gid}:\n` }
  return Object.fromEntries(await Promise.all(Object.entries(files).map(async ([name, text]) => [`/etc/${name}`, await put(folder, name, text)])))
}

/** A file beside the tree, which the build cannot reach. */
async function put (folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text, { mode: 0o644 })
  return path
}

/** An exit code of 128 + n is the shell's and the container's word for a death by signal n. */
function verdict (exitCode: number, reason: LimitReason | null): Exit {
  const signal = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0] ?? null
  return { type: 'exit', exitCode, signal, reason: exitCode === 0 ? null : reason }
}

function fixOf (reason: string): string {
  if (reason.includes('may not use')) return 'Let this user talk to the daemon (whoever may is root on this machine): sudo usermod -aG docker "$USER", then log in again; or use rootless Docker or Podman.'
  if (reason.includes('not running')) return 'Start it: sudo systemctl start docker   (Podman: systemctl --user start podman.socket)'
  return 'Install Docker, or Podman with: systemctl --user enable --now podman.socket'
}
