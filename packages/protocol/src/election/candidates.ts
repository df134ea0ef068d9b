/** The hard filter: who may be asked at all, and for everyone else the reason in words. */
import type { DeviceId } from '../ids.ts'
import type { Advert } from '../resources/advert.ts'

export interface Known {
  device: DeviceId
  self: boolean
  role: 'observer' | 'member' | 'builder' | 'admin' | undefined
  /** Admitted and connected; this device itself always. */
  online: boolean
  /** Fresh advert, undefined when there is none. */
  advert: Advert | undefined
}

export interface Needs {
  /** Null: any. */
  platform: string | null
  image: string | null
  memoryBytes: number | null
  cpus: number | null
  sealed: boolean
  local: 'auto' | 'never' | 'only'
  /** Only this device; null: any. */
  on: DeviceId | null
}

/** Null when the device may be asked. A builder whose slots are all busy may: its queue is a matter of rank. */
export function refusal (known: Known, needs: Needs): string | null {
  return placeRefusal(known, needs) ?? (known.advert === undefined ? 'no fresh advert' : fitRefusal(known.advert, needs))
}

function placeRefusal (known: Known, needs: Needs): string | null {
  if (needs.on !== null && known.device !== needs.on) return 'not the device asked for'
  if (known.self && needs.local === 'never') return 'local never'
  if (!known.self && needs.local === 'only') return 'local only'
  if (!known.online) return 'offline'
  if (known.role !== 'builder' && known.role !== 'admin') return `role ${known.role ?? 'unknown'} is not builder`
  // With `auto` this device is chosen only when it can start now.
  if (known.self && needs.local === 'auto' && needs.on === null && known.advert !== undefined && known.advert.slots.total > 0 && known.advert.slots.free === 0) return 'local auto: no free slot here now'
  return null
}

function fitRefusal (advert: Advert, needs: Needs): string | null {
  if (advert.draining) return 'draining'
  if (advert.slots.total === 0) return advert.lacks === undefined ? '0 slots' : `0 slots: ${advert.lacks}`
  if (advert.engine === null) return 'no engine'
  if (needs.platform !== null && advert.platform !== needs.platform) return `platform ${advert.platform}, this build needs ${needs.platform}`
  if (needs.image !== null && advert.engine !== 'docker' && advert.engine !== 'podman') return `engine ${advert.engine} runs no image, this build needs ${needs.image}`
  if (needs.image === null && advert.bare === true) return 'no default image'
  if (needs.sealed && advert.engine === 'process') return 'engine process cannot seal a build'
  if (needs.memoryBytes !== null && advert.memory.freeBytes < needs.memoryBytes) return `memory ${size(advert.memory.freeBytes)} < ${size(needs.memoryBytes)} asked`
  if (needs.cpus !== null && advert.cores < needs.cpus) return `${advert.cores} cores < ${needs.cpus} asked`
  return null
}

function size (bytes: number): string {
  return bytes >= 2 ** 30 ? `${Number((bytes / 2 ** 30).toFixed(1))} GB` : `${Math.floor(bytes / 2 ** 20)} MB`
}
