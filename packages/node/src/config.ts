/** What a node may be told when it is made. */
import type { Engine, EngineChoice } from './ports/engine.ts'
import type { Sensors } from './ports/host.ts'
import type { Logger } from './ports/log.ts'

/** What is left out here is taken from the owner's settings (`elder-node config`), then from the defaults. */
export interface NodeInit {
  /** Data directory. @default `ELDER_NODE_DIR`, else `elder-node` below the XDG state directory */
  dir?: string
  /** Joins with this ticket; ignored by a device that is a member already. Without one a directory without a mesh founds one. */
  ticket?: string
  /** The name this device wishes for. @default the host name */
  name?: string
  /** The name of a mesh that is founded here. @default 'home' */
  meshName?: string
  /** Multiaddrs to listen on; port 0 picks a free port at the first start and keeps it. @default port 4707, or a free one when it is taken at the first start */
  listen?: string[]
  /** Multiaddrs to tell others besides those of the interfaces: a forwarded port, a name. To tell fewer, listen on fewer. */
  announce?: string[]
  /** Pass connections on between members that cannot dial each other. `auto`: once a device on another network has reached this one. @default 'auto' */
  relay?: 'auto' | 'on' | 'off'
  /** Builds at once. @default a quarter of the cores, at least 1; 0 without an engine or on battery */
  slots?: number
  /** `process` has no isolation and is never chosen by itself. An object of the Engine port is used as it is. @default 'auto' */
  engine?: EngineChoice | Engine
  /**
   * On a device that may invite and evict, builds of the process engine may run as the user of this node, which makes each of them as
   * good as this node. Without it such a node is refused with `PROCESS_ADMIN`. @default false
   */
  trustBuilds?: boolean
  /** Folder of build trees; see the process engine. */
  engineRoot?: string
  /** Unix socket of Docker or Podman. @default `DOCKER_HOST` or `CONTAINER_HOST`, else the well-known ones */
  engineSocket?: string
  /** Network of builds that are not sealed, as Docker or Podman name it. @default the engine's own */
  engineNetwork?: string
  /**
   * Look for members on the local network. What mDNS tells everybody there, in clear text: a tag that only members can tell from another
   * mesh's, this device's public key, and its addresses. @default true
   */
  mdns?: boolean
  /** The agent in whose name this program writes entries and remotes and starts builds, when a call names no other. */
  agent?: string
  /** How long admission with a ticket may take, milliseconds. @default 60_000 */
  timeoutMs?: number
  /** Share of builds that try a builder unused for ten minutes. @default 0.02 */
  explore?: number
  /** How long a changed stack rests before it is pushed, and at most, milliseconds. @default { idle: 30_000, max: 300_000 } */
  mirrorDelayMs?: { idle?: number, max?: number }
  /** What one build may use. @default all cores, 80 % of the memory, 20 GiB */
  limits?: { cpus?: number, memoryBytes?: number, diskBytes?: number }
  /** Image of a build that names none, for engines that run images. @default the engine's own */
  image?: string
  /** What a build that is not sealed may reach. @default 'full' */
  buildNetwork?: 'full' | 'none'
  /** Names of the owner's environment variables that every build gets, besides certificates, proxies and registries. @default [] */
  buildEnv?: string[]
  /** `host:port` of /healthz, /readyz and /metrics; `auto`: loopback, port 4708 or a free one, kept after the first start; or `off`. @default `httpDefault` */
  http?: string
  /** What holds when neither `http` nor the owner's settings say. A library opens no port unasked; `join` gives `auto`. @default 'off' */
  httpDefault?: 'auto' | 'off'
  /** Readings of the machine. @default this machine's */
  sensors?: Sensors
  /** @default silent */
  log?: Logger
  /** Ends the start; a started node ends with `stop()`. */
  signal?: AbortSignal
}
