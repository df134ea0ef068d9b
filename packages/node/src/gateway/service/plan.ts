/** Where a service of this device stands: one picture for the unit, the copy of the program and the commands to run. Pure. */
import { join } from 'node:path'
import { xdgDir } from '../../adapters/xdg.ts'

/** `user`: runs as who installs it, in their systemd; `system`: as a user of its own, in the machine's. */
export type Scope = 'user' | 'system'

export interface Plan {
  scope: Scope
  unitName: string
  unitPath: string
  /** Copies of the program, one folder a version. */
  versions: string
  /** Data directory of the node. */
  dir: string
  /** The user that runs it; undefined for who installs it. */
  user: string | undefined
  /** Where the ticket is kept: read by the node (user) or by systemd, which hands it over (system). */
  ticketPath: string
  version: string
  /** The Node that starts it, for ever the same. */
  node: string
  /** Words of `join` that no setting can hold. */
  ticket: boolean
  /** What runs builds, as the settings say. */
  engine: string
}

export const SYSTEM_USER = 'elder-node'
export const UNIT = 'elder-node.service'
const SYSTEM_DIR = '/var/lib/elder-node/node'
const SYSTEM_VERSIONS = '/usr/local/lib/elder-node/versions'

export interface Places { home: string, env: Readonly<Record<string, string | undefined>> }

export function unitPathOf (scope: Scope, { home, env }: Places): string {
  return scope === 'system' ? join('/etc/systemd/system', UNIT) : join(xdgDir('XDG_CONFIG_HOME', env, home), 'systemd/user', UNIT)
}

export function versionsOf (scope: Scope, { home, env }: Places): string {
  return scope === 'system' ? SYSTEM_VERSIONS : join(xdgDir('XDG_DATA_HOME', env, home), 'elder-node/versions')
}

/** @param dir of `--dir` or the environment; the system's service has its own unless one is named */
export function dirOf (scope: Scope, dir: { given: string | undefined, byDefault: string }): string {
  return dir.given ?? (scope === 'system' ? SYSTEM_DIR : dir.byDefault)
}

export const entryOf = ({ versions, version }: Pick<Plan, 'versions' | 'version'>): string => join(versions, version, 'node_modules/elder-node/bin/elder-node.js')

/** What has to run when the files are in place, as words. */
export function startCommands (plan: Pick<Plan, 'scope' | 'unitName'>): string[][] {
  const systemctl = ['systemctl', ...plan.scope === 'user' ? ['--user'] : []]
  return [[...systemctl, 'daemon-reload'], [...systemctl, 'enable', plan.unitName], [...systemctl, 'restart', plan.unitName]]
}

/** A user's services end with their last login and start with the first, unless they linger. */
export const lingerCommand = (userName: string): string[] => ['loginctl', 'enable-linger', userName]
