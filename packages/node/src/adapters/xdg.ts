/** The folders of the XDG Base Directory Specification. Touches nothing. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

const DEFAULTS = { XDG_CACHE_HOME: '.cache', XDG_CONFIG_HOME: '.config', XDG_DATA_HOME: '.local/share', XDG_STATE_HOME: '.local/state' }

/** The specification says to ignore a relative path. @throws ElderError `NO_HOME` */
export function xdgDir (name: keyof typeof DEFAULTS, env: Readonly<Record<string, string | undefined>>, home?: string): string {
  const given = env[name]
  return given?.startsWith('/') === true ? given : join(home ?? knownHome(), DEFAULTS[name])
}

/** None without HOME for a user that the system does not know, as in some containers and services. */
export function homeFolder (): string | undefined {
  try {
    return homedir()
  } catch {
    return undefined
  }
}

/** @throws ElderError `NO_HOME` */
function knownHome (): string {
  const home = homeFolder()
  if (home === undefined) throw new ElderError('NO_HOME', 'this user has no home folder: HOME is not set, and the system does not know the user', 'Name the folder of this device: --dir <folder>   (or set HOME)')
  return home
}
