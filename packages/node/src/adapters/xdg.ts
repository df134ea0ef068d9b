/** The folders of the XDG Base Directory Specification. Touches nothing. */
import { homedir } from 'node:os'
import { join } from 'node:path'

const DEFAULTS = { XDG_CACHE_HOME: '.cache', XDG_CONFIG_HOME: '.config', XDG_DATA_HOME: '.local/share', XDG_STATE_HOME: '.local/state' }

/** The specification says to ignore a relative path. */
export function xdgDir (name: keyof typeof DEFAULTS, env: Readonly<Record<string, string | undefined>>, home: string = homedir()): string {
  const given = env[name]
  return given?.startsWith('/') === true ? given : join(home, DEFAULTS[name])
}
