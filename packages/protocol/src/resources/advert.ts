/**
 * What a device can offer right now, as it is gossiped. Its author is the signer of the gossip message, so no name travels.
 *
 * advert := [1, epoch, seq, version, platform, engine, projects, images, cores, load, pressure,
 *            memoryTotal, memoryFree, diskTotal, diskFree, slotsTotal, slotsFree, queue, expectedWait, speed, draining, coordinate, lacks]
 * `!default` among the images is no image: it says that the device runs images and has none for builds that name none.
 * load and pressure in per mille, memory and disk in MiB, expectedWait in tenths of a second, speed in percent: a typical
 * advert is below 200 bytes, none is above LIMITS.advertBytesMax.
 */
import { decode, encode, type Value } from '../codec/cbor.ts'
import { MalformedError } from '../errors.ts'
import { isCount } from '../feed/record.ts'
import { LIMITS } from '../limits.ts'

export interface Advert {
  /** Rises with every start of the device's node. */
  epoch: number
  /** Rises with every advert of one epoch. */
  seq: number
  /** Version of the node software. */
  version: string
  /** `linux/x64`, `linux/arm64`, ... */
  platform: string
  /** `docker`, `podman`, `sandbox`, `process`; null when the device has none. */
  engine: string | null
  /** First 8 characters of project ids whose source is warm here, at most 8. */
  projects: string[]
  /** Images that are warm here, at most 8. */
  images: string[]
  /** The device runs images, and has none for builds that name none: such a build cannot run there. */
  bare?: true
  cores: number
  /** Share of all cores in use, 0 to 1. */
  load: number
  /** Share of the last 10 s in which some task waited for CPU, 0 to 1; null where the system cannot say. */
  pressure: number | null
  memory: { totalBytes: number, freeBytes: number }
  disk: { totalBytes: number, freeBytes: number }
  slots: { total: number, free: number }
  /** Reservations that wait here. */
  queue: number
  /** Predicted seconds until a slot is free; 0 when one is. */
  expectedWaitS: number
  /** How fast this device believes to be against the mesh's usual: 2 is twice as fast. */
  speed: number
  /** True while the owner lets no new build in. */
  draining: boolean
  /** What is missing there, so that it offers no slots although its owner wants it to. */
  lacks?: string
  /** Reserved for a network coordinate. */
  coordinate: number[] | null
}

const MIB = 1_048_576
const HINTS_MAX = 8
const WORD_CHARS_MAX = 64
/** No name of an image: devices that do not know the mark take it for an image that nobody asks for. */
const BARE = '!default'
const COUNT_MAX = 2 ** 40

export function encodeAdvert (advert: Advert): Uint8Array {
  const { memory, disk, slots } = advert
  return encode([
    1, advert.epoch, advert.seq, advert.version, advert.platform, advert.engine, advert.projects.slice(0, HINTS_MAX), [...advert.bare === true ? [BARE] : [], ...advert.images].slice(0, HINTS_MAX),
    advert.cores, scaled(advert.load, 1000), advert.pressure === null ? null : scaled(advert.pressure, 1000),
    Math.floor(memory.totalBytes / MIB), Math.floor(memory.freeBytes / MIB), Math.floor(disk.totalBytes / MIB), Math.floor(disk.freeBytes / MIB),
    slots.total, slots.free, advert.queue, scaled(advert.expectedWaitS, 10), scaled(advert.speed, 100), advert.draining,
    advert.coordinate?.map(x => Math.round(x)) ?? null, advert.lacks?.slice(0, WORD_CHARS_MAX) ?? null,
  ])
}

/** @throws MalformedError on anything but one advert within its bounds. */
export function decodeAdvert (bytes: Uint8Array): Advert {
  const value = decode(bytes, LIMITS.advertBytesMax)
  if (!Array.isArray(value) || value.length !== 23 || value[0] !== 1) throw new MalformedError('an advert is an array of 23, version 1')
  const count = (i: number, max = COUNT_MAX): number => {
    const item = value[i]
    if (!isCount(item) || item > max) throw new MalformedError(`advert[${i}] is a count of at most ${max}`)
    return item
  }
  const [, , , version, platform, engine, projects, images] = value
  const slots = { total: count(15, 1024), free: count(16, 1024) }
  if (slots.free > slots.total) throw new MalformedError('an advert has more free slots than slots')
  if (typeof value[20] !== 'boolean') throw new MalformedError('advert.draining is a boolean')
  return {
    epoch: count(1, Number.MAX_SAFE_INTEGER), seq: count(2), version: word(version), platform: word(platform), engine: engine === null ? null : word(engine),
    projects: words(projects), ...imagesOf(words(images)), cores: count(8, 65_536), load: count(9, 1000) / 1000,
    pressure: value[10] === null ? null : count(10, 1000) / 1000,
    memory: { totalBytes: count(11) * MIB, freeBytes: count(12) * MIB }, disk: { totalBytes: count(13) * MIB, freeBytes: count(14) * MIB },
    slots, queue: count(17, 65_536), expectedWaitS: count(18) / 10, speed: count(19, 100_000) / 100, draining: value[20], coordinate: coordinate(value[21]),
    ...(value[22] === null ? {} : { lacks: word(value[22]) }),
  }
}

function scaled (value: number, by: number): number { return Math.max(0, Math.round(value * by)) }

function word (value: Value | undefined): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > WORD_CHARS_MAX) throw new MalformedError('an advert holds short texts')
  return value
}

function words (value: Value | undefined): string[] {
  if (!Array.isArray(value) || value.length > HINTS_MAX) throw new MalformedError('an advert holds at most 8 hints of a kind')
  return value.map(word)
}

function imagesOf (hints: string[]): Pick<Advert, 'images' | 'bare'> {
  return { images: hints.filter(hint => hint !== BARE), ...(hints.includes(BARE) ? { bare: true } : {}) }
}

function coordinate (value: Value | undefined): number[] | null {
  if (value === null) return null
  if (!Array.isArray(value) || value.length > 8 || !value.every(x => typeof x === 'number')) throw new MalformedError('advert.coordinate is null or numbers')
  return value
}
