/** The daemon that an engine uses, asked once what it is and what it can hold. */
import { ElderError } from '@elder-node/protocol'
import { openRoot, rootName } from '../engine-common/root.ts'
import { claimUids, uidOfSlot, type UidBlock } from '../engine-common/uids.ts'
import type { ContainerClient, DaemonInfo } from './client.ts'
import { limitsText } from './container-config.ts'
import { identityOf, type Identity } from './identity.ts'
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

export interface Opened {
  name: ContainerEngineName
  root: string
  /** Names this node's containers. */
  node: string
  client: ContainerClient
  info: DaemonInfo
  rootless: boolean
  uids: UidBlock | undefined
  /** A system call filter; undefined: the daemon's own. */
  seccomp: string | undefined
  /** One line for people. */
  description: string
}

/** @throws ElderError `ENGINE_UNAVAILABLE` when there is no such daemon, or none in which a build could own its tree. */
export async function openDaemon ({ name, dataDir, socket, root: wanted }: ContainerEngineInit): Promise<Opened> {
  const found = await findDaemon(name, socket === undefined ? socketCandidates(name, process.env) : [socket], process.env)
  if (typeof found === 'string') throw new ElderError('ENGINE_UNAVAILABLE', `${name}: ${found}`, fixOf(found))
  const { client, version } = found
  const said = await client.info()
  const rootless = (said.SecurityOptions ?? []).includes('name=rootless') || said.Rootless === true
  // No daemon of an ordinary user can limit anything with cgroup v1, whatever it says of the kernel.
  const info = rootless && said.CgroupVersion !== '2' ? { ...said, MemoryLimit: false, SwapLimit: false, PidsLimit: false, CpuCfsQuota: false } : said
  const root = await openRoot(dataDir, wanted)
  const uids = process.getuid?.() === 0 ? await claimUids(root) : undefined
  const opened: Opened = { name, root, node: rootName(root), client, info, rootless, uids, seccomp: undefined, description: '' }
  try {
    identityIn(opened, 0)
    if (name === 'podman') opened.seccomp = await readTightened(await client.seccompPath())
  } catch (error) {
    await uids?.release()
    throw error
  }
  const filter = name === 'podman' && opened.seccomp === undefined ? ' (Podman\'s own system call filter: user namespaces are allowed)' : ''
  return { ...opened, description: `${name} ${version}${rootless ? ', rootless' : ''}: a container without privileges per build${filter}; ${limitsText(info)}` }
}

/** The user of a slot's trees; undefined when it is the node's own. */
export function slotUid ({ uids }: Opened, slot: number): number | undefined { return uids === undefined ? undefined : uidOfSlot(uids, slot) }

export function identityIn (opened: Opened, slot: number): Identity {
  const { name, rootless, info } = opened
  const remapped = !rootless && (info.SecurityOptions ?? []).some(option => option.startsWith('name=userns'))
  return identityOf({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, { name, rootless, remapped }, slotUid(opened, slot))
}

function fixOf (reason: string): string {
  if (reason.includes('may not use')) return 'Let this user talk to the daemon (whoever may is root on this machine): sudo usermod -aG docker "$USER", then log in again; or use rootless Docker or Podman.'
  if (reason.includes('not running')) return 'Start it: sudo systemctl start docker   (Podman: systemctl --user start podman.socket)'
  return 'Install Docker, or Podman with: systemctl --user enable --now podman.socket'
}
