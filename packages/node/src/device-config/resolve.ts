/** What holds on this device and why: environment, then the owner's file, then the default. Pure. */
import { ElderError } from '@elder-node/protocol'
import type { NodeInit } from '../config.ts'
import { SETTINGS } from './catalogue.ts'
import type { Setting } from './catalogue.ts'
import { nearest } from './nearest.ts'
import type { SettingValue } from './types.ts'

/** As it stands in `settings.json`: by key. */
export type StoredSettings = Record<string, SettingValue>
type Environment = Readonly<Record<string, string | undefined>>

export interface Resolved {
  setting: Setting
  source: 'environment' | 'file' | 'default'
  /** Parsed; undefined for a default that depends on the machine. */
  value: SettingValue | undefined
  /** As it was written; of a default that depends on the machine, in words. */
  text: string
}

/** @throws ElderError `SETTING_UNKNOWN` naming the nearest */
export function settingOf (key: string): Setting {
  const found = SETTINGS.find(setting => setting.key === key)
  if (found !== undefined) return found
  const meant = nearest(key, SETTINGS.map(setting => setting.key))
  throw new ElderError('SETTING_UNKNOWN', `there is no setting "${key}"${meant === undefined ? '' : `; did you mean ${meant}?`}`, meant === undefined ? 'elder-node config list' : `elder-node config get ${meant}`)
}

/** @param where names the place of the value in the message. @throws ElderError `SETTING_VALUE` */
export function valueOf ({ key, type }: Setting, text: string, where: string = key): SettingValue {
  try {
    return type.parse(text)
  } catch {
    throw new ElderError('SETTING_VALUE', `${where}: "${text}" is not ${type.name}`, `For example: elder-node config set ${key} ${type.example}`, { key })
  }
}

/** @throws ElderError `SETTING_VALUE` naming the variable or the file */
export function resolveSetting (setting: Setting, env: Environment, stored: StoredSettings): Resolved {
  const given = env[setting.env]
  // An empty variable is an unset one, as for every other name of the environment.
  if (given !== undefined && given !== '') return { setting, source: 'environment', text: given, value: valueOf(setting, given, setting.env) }
  const kept = stored[setting.key]
  if (kept !== undefined) return { setting, source: 'file', text: textOf(kept), value: valueOf(setting, textOf(kept), `${setting.key} in settings.json`) }
  const { byDefault } = setting
  return 'words' in byDefault
    ? { setting, source: 'default', text: byDefault.words, value: undefined }
    : { setting, source: 'default', text: textOf(byDefault.value), value: valueOf(setting, textOf(byDefault.value)) }
}

/** What `createNode` is told, its own words first. Defaults stay with the code that knows them. @throws ElderError `SETTING_VALUE` */
export function withSettings (given: NodeInit, env: Environment, stored: StoredSettings): NodeInit {
  const set = SETTINGS.map(setting => resolveSetting(setting, env, stored)).filter(({ source }) => source !== 'default')
  const parts = [...set.map(({ setting, value }) => setting.init(value as SettingValue)), given]
  const limits = Object.assign({}, ...parts.map(part => part.limits)) as NodeInit['limits'] & object
  const mirrorDelayMs = Object.assign({}, ...parts.map(part => part.mirrorDelayMs)) as NodeInit['mirrorDelayMs'] & object
  return { ...Object.assign({}, ...parts) as NodeInit, limits, mirrorDelayMs }
}

export function textOf (value: SettingValue): string {
  return Array.isArray(value) ? value.join(',') : typeof value === 'boolean' ? value ? 'yes' : 'no' : String(value)
}
