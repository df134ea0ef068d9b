/** The flags of `join` that are settings: what a device was told once holds for every later start, as a service too. */
import { toDeviceName } from '@elder-node/protocol'
import { settingOf, valueOf, type StoredSettings } from '../../device-config/resolve.ts'

/** `mdns` is false when `--no-mdns` was given. */
export interface JoinFlags {
  name?: string, listen?: string[], announce?: string[], relay?: string, slots?: string, engine?: string, trustBuilds?: true
  mdns: boolean
}

/** As they stand in settings.json; a flag that was not given is not in it. @throws ElderError `SETTING_VALUE` */
export function settingsOfFlags ({ name, listen, announce, relay, slots, engine, trustBuilds, mdns }: JoinFlags): StoredSettings {
  const given = {
    name, listen: listen?.join(' '), announce: announce?.join(' '), relay, slots, engine,
    'build.trust': trustBuilds === true ? 'yes' : undefined, mdns: mdns ? undefined : 'no',
  }
  return Object.fromEntries(Object.entries(given).flatMap(([key, words]) => {
    if (words === undefined) return []
    const setting = settingOf(key)
    const value = valueOf(setting, words, `--${key}`)
    return [[key, setting.type.json?.(value) ?? words]]
  }))
}

/** The same of a name as a person types it, which the mesh makes one of its own of. */
export function withPlainName<T extends { name?: string }> (flags: T): T {
  return flags.name === undefined ? flags : { ...flags, name: toDeviceName(flags.name, '') }
}
