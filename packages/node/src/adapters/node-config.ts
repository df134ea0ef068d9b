/** What a node keeps of itself from start to start: `config.json` in its data directory. */
import { crc32 } from 'node:zlib'
import { readIfThere, writeAtomic } from './files.ts'

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

const NOTHING: NodeConfig = { ports: {}, epoch: 0, lives: 0, crashes: 0, crashesMs: [], clean: true }

/** Missing at the first start; a file that does not read costs new ports and the count of restarts, and `damaged` is told. */
export function readConfig (path: string, damaged: (why: string) => void = () => {}): NodeConfig {
  try {
    const bytes = readIfThere(path)
    return bytes === undefined ? NOTHING : configOf(JSON.parse(new TextDecoder().decode(bytes)))
  } catch (error) {
    damaged((error as Error).message)
    return NOTHING
  }
}

function configOf (value: unknown): NodeConfig {
  const { check, ...config } = value as NodeConfig & { check: string }
  if (check !== checkOf(config)) throw new Error(`${check === undefined ? 'there is no checksum' : 'the checksum is wrong'}`)
  return config
}

/** Durable on return. @throws ElderError `DISK_FULL`, `STORAGE` */
export function writeConfig (path: string, config: NodeConfig): void {
  writeAtomic(path, new TextEncoder().encode(`${JSON.stringify({ ...config, check: checkOf(config) }, null, 2)}\n`))
}

/** A changed digit of a port or of the epoch is still JSON. */
function checkOf (config: NodeConfig): string { return crc32(JSON.stringify(config)).toString(16) }

/**
 * The number of a new life: adverts and leases of an earlier one must lose against it, also when the wall clock went back.
 * Durable before anybody hears of it.
 */
export function beginLife (path: string, wallMs: number, last: NodeConfig = readConfig(path)): NodeConfig {
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
