/** What each part is told, from what the node was told. Apart from {@link NodeInit}, which is published and names no part. */
import { cpus, hostname, totalmem } from 'node:os'
import { dirname } from 'node:path'
import type { DataDir } from './adapters/data-dir.ts'
import type { EngineInit } from './adapters/engines.ts'
import type { Libp2pMeshInit } from './adapters/libp2p/mesh-init.ts'
import type { NodeInit } from './config.ts'
import type { Limits } from './ports/engine.ts'
import type { ElectorInit } from './services/builds/elector.ts'
import type { TrustInit } from './services/builds/process-admin.ts'
import type { OpenInit } from './services/membership/open-membership.ts'

/** What one build may write: more than any of ours, less than what fills a small disk. */
const DISK_BYTES = 21_474_836_480
/** Processes and threads of one build: a big compile with a JVM beside it; a fork bomb of so many leaves the machine usable. */
const PIDS_MAX = 1024

/** Without the keys that are undefined: an option that is not there takes its default. */
export function given<T extends object> (values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

export function membershipInit ({ name, ticket, meshName }: NodeInit): OpenInit {
  return { deviceName: name ?? (hostname().split('.')[0] || 'device'), ...given({ ticket, meshName }) }
}

export function meshInit ({ announce = [], mdns = true, relay = 'auto' }: NodeInit): Pick<Libp2pMeshInit, 'announce' | 'mdns' | 'relay'> { return { announce, mdns, relay } }

export function engineInit ({ root: dataDir, socket: control }: DataDir, { engineRoot: root, engineSocket: socket, engineNetwork: network, image, buildEnv: pass }: NodeInit): EngineInit {
  return { dataDir, hide: control.startsWith(dataDir) ? [] : [dirname(control)], ...given({ root, socket, network, image, pass }) }
}

export function trustInit (asNode: boolean, { slots, trustBuilds = false }: NodeInit): TrustInit { return { asNode, slots, trusted: trustBuilds } }

export function slotsInit ({ slots }: NodeInit): { slots?: number } { return given({ slots }) }

export function buildLimits ({ limits }: NodeInit): Limits {
  return { cpus: cpus().length, memoryBytes: Math.floor(totalmem() * 0.8), diskBytes: DISK_BYTES, pidsMax: PIDS_MAX, ...limits }
}

export function electorInit ({ explore }: NodeInit): ElectorInit { return given({ explore }) }

export function mirrorDelays ({ mirrorDelayMs: { idle, max } = {} }: NodeInit): { idleMs?: number, busyMs?: number } {
  return given({ idleMs: idle, busyMs: max })
}
