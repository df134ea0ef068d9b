/** What a node keeps of itself from start to start: `config.json` in its data directory. */
import { readFileSync } from 'node:fs'
import { writeAtomic } from './files.ts'

export interface NodeConfig {
  /** Multiaddr as asked for, with the port that the system gave in the place of its port 0. */
  ports: Record<string, number>
  /** The last life of this node; each one is above those before. */
  epoch: number
}

/** Missing at the first start; a damaged file costs a new port and nothing else. */
export function readConfig (path: string): NodeConfig {
  try {
    const { ports, epoch } = JSON.parse(readFileSync(path, 'utf8')) as Partial<NodeConfig>
    return { ports: typeof ports === 'object' && ports !== null ? ports : {}, epoch: Number.isSafeInteger(epoch) ? epoch as number : 0 }
  } catch {
    return { ports: {}, epoch: 0 }
  }
}

/** Durable on return. @throws ElderError `DISK_FULL`, `STORAGE` */
export function writeConfig (path: string, config: NodeConfig): void {
  writeAtomic(path, new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`))
}

/**
 * The number of a new life: adverts and leases of an earlier one must lose against it, also when the wall clock went back.
 * Durable before anybody hears of it.
 */
export function beginLife (path: string, wallMs: number): NodeConfig {
  const last = readConfig(path)
  const config = { ...last, epoch: Math.max(Math.floor(wallMs), last.epoch + 1) }
  writeConfig(path, config)
  return config
}
