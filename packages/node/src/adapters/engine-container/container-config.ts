/** What is asked of the daemon for one build. Pure. The hardening is measured: docs/THREAT_MODEL.md has the attacks. */
import { posix } from 'node:path'
import type { RunSpec } from '../../ports/engine.ts'
import type { DaemonInfo } from './client.ts'
import type { Identity } from './identity.ts'
import type { ContainerEngineName } from './sockets.ts'

/** Folders of the build as it sees them: the same on every builder, so that absolute paths in a prepared tree stay right. */
export const INSIDE = { tree: '/elder/tree', home: '/elder/home', tmp: '/elder/tmp' } as const

/** Whose container this is: for {@link sweepLabel} and for a person who looks at `docker ps`. */
export const LABEL = { node: 'elder-node.node', build: 'elder-node.build', slot: 'elder-node.slot' } as const

export interface ContainerInput {
  engine: ContainerEngineName
  spec: RunSpec
  /** Relative to the tree, checked. */
  cwd: string
  image: string
  /** Paths that the image declares as volumes. */
  volumes: string[]
  identity: Identity
  info: DaemonInfo
  /** File of a system call filter; undefined: the daemon's own. */
  seccomp: string | undefined
  /** Name of this node's engine on the machine. */
  node: string
  /** Network of builds that are not sealed. */
  network: string
  /** Of the host; inside they are where {@link INSIDE} says. */
  tree: string
  home: string
  tmp: string
  /** Host paths that the build may read, by their path inside. */
  readOnly: Record<string, string>
}

const MB = 1_048_576
const TMP_BYTES_MAX = 1024 * MB
const VOLUME_BYTES = 256 * MB

export function containerConfig (input: ContainerInput): object {
  const { spec, identity, image, node, network } = input
  const mode = spec.sealed ? 'none' : network
  return {
    Image: image,
    // As the entry point, so that the image's own is not in front of it.
    Entrypoint: spec.command, Cmd: [],
    Env: environment(spec), User: identity.user, WorkingDir: posix.join(INSIDE.tree, input.cwd),
    ...(mode === 'host' ? {} : { Hostname: 'build' }),
    Labels: { [LABEL.node]: node, [LABEL.build]: spec.id, [LABEL.slot]: String(spec.slot) },
    AttachStdin: false, AttachStdout: true, AttachStderr: true, OpenStdin: false, Tty: false,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      ...limits(input), ...mounts(input), NetworkMode: mode,
      Privileged: false, CapDrop: ['ALL'], CapAdd: [], SecurityOpt: ['no-new-privileges', ...(input.seccomp === undefined ? [] : [`seccomp=${input.seccomp}`])], ReadonlyRootfs: true, Init: true,
      IpcMode: 'private', PidMode: '', ShmSize: 64 * MB, OomScoreAdj: 500, ...(identity.keepId ? { UsernsMode: 'keep-id' } : {}),
      Ulimits: ulimits(input),
      // The attached stream is the only log: a daemon's disk is not for builds.
      LogConfig: { Type: 'none', Config: {} }, AutoRemove: false, RestartPolicy: { Name: 'no' },
    },
  }
}

/** A name without a value takes the engine's own variable away. */
function environment ({ env }: RunSpec): string[] {
  return [...Object.entries({ ...env, HOME: INSIDE.home, TMPDIR: INSIDE.tmp }).map(([name, value]) => `${name}=${value}`), ...('HOSTNAME' in env ? [] : ['HOSTNAME'])]
}

/** Only those that this daemon can hold: a rootless one on cgroup v1 holds none, and its description says so. */
function limits ({ spec: { limits: { cpus, memoryBytes, pidsMax } }, info }: ContainerInput): object {
  return {
    ...(info.MemoryLimit ? { Memory: memoryBytes, ...(info.SwapLimit ? { MemorySwap: memoryBytes } : {}) } : {}),
    ...(info.CpuCfsQuota ? { NanoCpus: Math.round(Math.min(cpus, info.NCPU) * 1e9), CpuShares: 128 } : {}),
    ...(info.PidsLimit ? { PidsLimit: pidsMax } : {}),
  }
}

/** Podman as root would raise the number of processes to a million, which not every root may: in a container of its own it may not. */
function ulimits ({ engine, identity }: ContainerInput): object[] {
  const both = (Name: string, value: number): object => ({ Name, Soft: value, Hard: value })
  return [both('nofile', 4096), both('core', 0), ...(engine === 'podman' && !identity.keepId ? [both('nproc', 16_384)] : [])]
}

function mounts ({ engine, spec, identity, info, volumes, tree, home, tmp, readOnly }: ContainerInput): object {
  const [uid, gid] = identity.user.split(':')
  // Podman knows no owner here; its mode is right wherever the image's folder is open to all. Docker's runc needs the owner.
  const owner = engine === 'docker' ? `uid=${uid},gid=${gid},mode=700` : 'mode=1777'
  const tmpfs = (bytes: number): string => `rw,exec,nosuid,nodev,size=${bytes},${owner}`
  const own = Object.entries({ [INSIDE.tree]: tree, [INSIDE.home]: home, [INSIDE.tmp]: tmp, '/var/tmp': tmp })
  const shared = Object.entries(readOnly)
  // SELinux lets no container read a folder that was not labelled for it, and only this older form can ask for the label.
  const selinux = (info.SecurityOptions ?? []).some(option => option.startsWith('name=selinux'))
  const mounts = selinux
    ? { Binds: [...own.map(([inside, host]) => `${host}:${inside}:Z`), ...shared.map(([inside, host]) => `${host}:${inside}:ro,z`)] }
    : { Mounts: [...own.map(([Target, Source]) => ({ Type: 'bind', Source, Target })), ...shared.map(([Target, Source]) => ({ Type: 'bind', Source, Target, ReadOnly: true }))] }
  const scratch = volumes.map(path => posix.normalize(path)).filter(path => path.startsWith('/') && path !== '/' && path !== '/tmp' && !`${path}/`.startsWith('/elder/'))
  return {
    ...mounts,
    // A volume of the image would be room on the daemon's disk that no limit counts.
    Tmpfs: { '/tmp': tmpfs(Math.min(TMP_BYTES_MAX, Math.floor(spec.limits.memoryBytes / 2))), ...Object.fromEntries(scratch.map(path => [path, tmpfs(VOLUME_BYTES)])) },
  }
}

/** In words, for the engine's description. */
export function limitsText (info: DaemonInfo): string {
  const held = [info.MemoryLimit && 'memory', info.CpuCfsQuota && 'CPU', info.PidsLimit && 'processes'].filter(name => name !== false)
  const missing = ['memory', 'CPU', 'processes'].filter(name => !held.includes(name))
  return `limits: ${[...held, 'disk'].join(', ')}${missing.length === 0 ? '' : `; not limited here: ${missing.join(', ')}`}`
}
