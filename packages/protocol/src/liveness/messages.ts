/**
 * What devices tell each other to find out who is alive. Each word brings the sender's own incarnation and a few rumours.
 *
 *     probe    := [incarnation, rumours]               answer := [incarnation, rumours]
 *     probeFor := [incarnation, rumours, target]       answer := [incarnation, rumours, reached]
 *     rumour   := [device, incarnation, by]            by := the device that suspects; null: alive, says the device itself
 */
import type { Value } from '../codec/cbor.ts'
import { MalformedError } from '../errors.ts'
import { deviceId, deviceKey, type DeviceId } from '../ids.ts'
import { LIMITS } from '../limits.ts'

export interface Rumour {
  device: DeviceId
  /** The suspicion is of this life and this incarnation of it; "alive" refutes all suspicions below it. */
  incarnation: number
  /** Who suspects; undefined: alive. */
  by: DeviceId | undefined
}

export interface LivenessWord { incarnation: number, rumours: Rumour[] }

export function encodeProbe (word: LivenessWord, target?: DeviceId): Value {
  return target === undefined ? wordValue(word) : [...wordValue(word), deviceKey(target)]
}

/** @throws MalformedError. `target` is there when somebody else is to be probed for the sender. */
export function decodeProbe (value: Value): { word: LivenessWord, target: DeviceId | undefined } {
  const [word, target] = wordOf(value)
  return { word, target: target === undefined ? undefined : deviceOf(target) }
}

export function encodeProbeAnswer (word: LivenessWord, reached?: boolean): Value {
  return reached === undefined ? wordValue(word) : [...wordValue(word), reached]
}

/** @throws MalformedError. `reached` is there in the answer to a probe for somebody else. */
export function decodeProbeAnswer (value: Value): { word: LivenessWord, reached: boolean | undefined } {
  const [word, reached] = wordOf(value)
  if (reached !== undefined && typeof reached !== 'boolean') throw new MalformedError('whether a device was reached is true or false')
  return { word, reached }
}

function wordValue ({ incarnation, rumours }: LivenessWord): Value[] {
  return [incarnation, rumours.map(({ device, incarnation: of, by }) => [deviceKey(device), of, by === undefined ? null : deviceKey(by)])]
}

function wordOf (value: Value): [LivenessWord, Value | undefined] {
  if (!Array.isArray(value) || value.length < 2 || value.length > 3) throw new MalformedError('a probe is [incarnation, rumours] and at most one thing more')
  const [incarnation, rumours, more] = value
  if (!Array.isArray(rumours) || rumours.length > LIMITS.rumoursMax) throw new MalformedError(`a probe brings at most ${LIMITS.rumoursMax} rumours`)
  return [{ incarnation: incarnationOf(incarnation), rumours: rumours.map(rumourOf) }, more]
}

function rumourOf (value: Value): Rumour {
  if (!Array.isArray(value) || value.length !== 3) throw new MalformedError('a rumour is [device, incarnation, by]')
  const [device, incarnation, by] = value
  return { device: deviceOf(device), incarnation: incarnationOf(incarnation), by: by === null ? undefined : deviceOf(by) }
}

function deviceOf (value: Value | undefined): DeviceId {
  if (!(value instanceof Uint8Array)) throw new MalformedError('a device is its key')
  return deviceId(value)
}

function incarnationOf (value: Value | undefined): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > LIMITS.incarnationMax) throw new MalformedError('an incarnation is a positive integer')
  return value
}
