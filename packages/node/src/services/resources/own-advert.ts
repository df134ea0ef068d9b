/** What this device says it can offer. Pure. */
import type { Advert } from '@elder-node/protocol'
import type { EngineName } from '../../ports/engine.ts'
import type { HostFacts, HostSample } from '../../ports/host.ts'

/** What the build host says of itself. */
export interface Capacity { free: number, queue: number, expectedWaitS: number, projects: string[], draining: boolean }

/** Bytes of image names in one advert: the newest go, and adverts stay small on every device that runs none. */
const IMAGES_BYTES_MAX = 192
const IMAGE_CHARS_MAX = 64

export interface OwnState {
  epoch: number
  seq: number
  version: string
  engine: EngineName | null
  slots: number
  capacity: Capacity
  /** Images that are here, newest first. */
  images: string[]
  /** Runs images, and has none for builds that name none. */
  bare: boolean
  /** What is missing here, so that there are no slots; undefined: nothing. */
  lacks?: string | undefined
  /** Undefined before the first reading. */
  facts: HostFacts | undefined
  sample: HostSample | undefined
}

export function ownAdvert ({ epoch, seq, version, engine, slots, capacity, images, bare, lacks, facts, sample }: OwnState): Advert {
  const { free, queue, expectedWaitS, projects, draining } = capacity
  return {
    epoch, seq, version, platform: facts?.platform ?? 'unknown', engine, projects, images: imageHints(images), ...(bare ? { bare } : {}),
    cores: facts?.cores ?? 1, load: Math.min(1, sample?.load ?? 0), pressure: sample?.pressure === undefined ? null : Math.min(1, sample.pressure),
    memory: { totalBytes: facts?.memoryTotalBytes ?? 0, freeBytes: sample?.memoryFreeBytes ?? 0 },
    disk: { totalBytes: sample?.diskTotalBytes ?? 0, freeBytes: sample?.diskFreeBytes ?? 0 },
    slots: { total: slots, free: Math.min(free, slots) }, queue, expectedWaitS, speed: 1, draining, coordinate: null,
    ...(lacks === undefined ? {} : { lacks }),
  }
}

/** As many of the first names as fit. */
function imageHints (images: string[]): string[] {
  let left = IMAGES_BYTES_MAX
  return images.filter(name => name.length <= IMAGE_CHARS_MAX && (left -= name.length) >= 0)
}

/** Builds at once by default: a quarter of the cores, none on battery. */
export function defaultSlots (facts: HostFacts | undefined, sample: HostSample | undefined): number {
  return sample?.onBattery === true ? 0 : Math.max(1, Math.floor((facts?.cores ?? 1) / 4))
}
