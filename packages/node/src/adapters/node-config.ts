/** What a node keeps of itself from start to start: `config.json` in its data directory. */
import { readFileSync } from 'node:fs'
import { writeAtomic } from './files.ts'

export interface NodeConfig {
  /** Multiaddr as asked for, with the port that the system gave in the place of its port 0. */
  ports: Record<string, number>
  /** The last life of this node; each one is above those before. */
  epoch: number
  /** Starts so far, this one included. */
  lives: number
  /** Those of them that followed an end that was not clean. */
  crashes: number
  /** The last of those: wall clock, milliseconds. */
  crashesMs: number[]
  /** This life has ended as it should. */
  clean: boolean
}

/** Enough for any window of minutes in which somebody could still look. */
const CRASHES_KEPT = 32

/** Missing at the first start; a damaged file costs a new port and nothing else. */
export function readConfig (path: string): NodeConfig {
  try {
    const { ports, epoch, lives, crashes, crashesMs, clean } = JSON.parse(readFileSync(path, 'utf8')) as Partial<NodeConfig>
    return {
      ports: typeof ports === 'object' && ports !== null ? ports : {}, epoch: countOf(epoch), lives: countOf(lives), crashes: countOf(crashes),
      crashesMs: Array.isArray(crashesMs) ? crashesMs.filter(atMs => Number.isFinite(atMs)).slice(-CRASHES_KEPT) : [], clean: clean !== false,
    }
  } catch {
    return { ports: {}, epoch: 0, lives: 0, crashes: 0, crashesMs: [], clean: true }
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
  const crashed = last.lives > 0 && !last.clean
  const config: NodeConfig = {
    ...last, epoch: Math.max(Math.floor(wallMs), last.epoch + 1), lives: last.lives + 1, clean: false,
    ...(crashed ? { crashes: last.crashes + 1, crashesMs: [...last.crashesMs, Math.floor(wallMs)].slice(-CRASHES_KEPT) } : {}),
  }
  writeConfig(path, config)
  return config
}

/** The next start does not count this life as a crash. */
export function endLife (path: string): void { writeConfig(path, { ...readConfig(path), clean: true }) }

function countOf (value: unknown): number { return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : 0 }
