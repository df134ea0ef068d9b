/** What this device says it can offer. Pure. */
import type { Advert } from '@elder-node/protocol'
import type { EngineName } from '../../ports/engine.ts'
import type { HostFacts, HostSample } from '../../ports/host.ts'

/** What the build host says of itself. */
export interface Capacity { free: number, queue: number, expectedWaitS: number, projects: string[], draining: boolean }

export interface OwnState {
  epoch: number
  seq: number
  version: string
  engine: EngineName | null
  slots: number
  capacity: Capacity
  /** Undefined before the first reading. */
  facts: HostFacts | undefined
  sample: HostSample | undefined
}

export function ownAdvert ({ epoch, seq, version, engine, slots, capacity, facts, sample }: OwnState): Advert {
  const { free, queue, expectedWaitS, projects, draining } = capacity
  return {
    epoch, seq, version, platform: facts?.platform ?? 'unknown', engine, projects, images: [],
    cores: facts?.cores ?? 1, load: Math.min(1, sample?.load ?? 0), pressure: sample?.pressure === undefined ? null : Math.min(1, sample.pressure),
    memory: { totalBytes: facts?.memoryTotalBytes ?? 0, freeBytes: sample?.memoryFreeBytes ?? 0 },
    disk: { totalBytes: sample?.diskTotalBytes ?? 0, freeBytes: sample?.diskFreeBytes ?? 0 },
    slots: { total: slots, free: Math.min(free, slots) }, queue, expectedWaitS, speed: 1, draining, coordinate: null,
  }
}

/** Builds at once by default: a quarter of the cores, none on battery. */
export function defaultSlots (facts: HostFacts | undefined, sample: HostSample | undefined): number {
  return sample?.onBattery === true ? 0 : Math.max(1, Math.floor((facts?.cores ?? 1) / 4))
}
