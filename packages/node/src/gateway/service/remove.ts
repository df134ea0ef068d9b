/** `service remove` and `service status`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { dataDirAt } from '../../adapters/data-dir.ts'
import { lockHolder } from '../../adapters/lock.ts'
import { UNIT, unitPathOf, versionsOf } from './plan.ts'
import type { Places, Scope } from './plan.ts'
import { versionIn } from './install.ts'
import type { System } from './system.ts'

export interface ServiceStatus {
  installed: boolean
  unitPath: string
  /** The version that the unit starts. */
  version: string | null
  /** Every copy that is here. */
  versions: string[]
  /** In systemd's words: active, activating, failed, inactive; `unknown` without systemd. */
  active: string
  /** Whether it starts at boot: enabled, disabled; `unknown` without systemd. */
  enabled: string
}

export async function serviceStatus (system: System, places: Places, scope: Scope): Promise<ServiceStatus> {
  const unitPath = unitPathOf(scope, places)
  const installed = existsSync(unitPath)
  const folder = versionsOf(scope, places)
  const ask = async (verb: string): Promise<string> => system.hasSystemd() ? (await system.run([...systemctl(scope), verb, UNIT])).stdout.trim() || 'unknown' : 'unknown'
  return {
    installed, unitPath, version: installed ? versionIn(readFileSync(unitPath, 'utf8')) ?? null : null,
    versions: existsSync(folder) ? readdirSync(folder).filter(name => !name.startsWith('.')).sort() : [],
    active: await ask('is-active'), enabled: await ask('is-enabled'),
  }
}

/** Stops and forgets the service, and its copies of the program. `purge`: also this device's data. Nothing to do is no error. @throws ElderError `SERVICE_DIR`, `LOCKED` */
export async function removeService (system: System, places: Places, { scope, dir, purge, ticketPath }: { scope: Scope, dir: string, purge: boolean, ticketPath: string }): Promise<{ removed: string[], commands: string[][] }> {
  const unitPath = unitPathOf(scope, places)
  const commands: string[][] = []
  if (existsSync(unitPath)) {
    const stop = [...systemctl(scope), 'disable', '--now', UNIT]
    if (!system.hasSystemd()) commands.push(stop)
    else await system.run(stop)
  }
  if (purge) refuseForeign(dir)
  const removed = [unitPath, versionsOf(scope, places), ticketPath, ...purge ? [dir] : []].filter(path => existsSync(path))
  for (const path of removed) await rm(path, { recursive: true, force: true })
  for (const parent of [dirname(versionsOf(scope, places)), ...scope === 'system' ? [dirname(ticketPath)] : []]) {
    if (existsSync(parent) && readdirSync(parent).length === 0) await rm(parent, { recursive: true })
  }
  if (system.hasSystemd()) await system.run([...systemctl(scope), 'daemon-reload'])
  return { removed, commands }
}

const systemctl = (scope: Scope): string[] => ['systemctl', ...scope === 'user' ? ['--user'] : []]

/** A whole folder is about to go: it must be a node's, and nobody's at work. */
function refuseForeign (dir: string): void {
  const { key, lock } = dataDirAt(dir)
  if (existsSync(dir) && !existsSync(key)) throw new ElderError('SERVICE_DIR', `${dir} holds no device key, so it is not removed.`, 'Name the data directory with --dir, or leave out --purge.')
  const pid = lockHolder(lock)
  if (pid !== undefined) throw new ElderError('LOCKED', `A node still runs on ${dir} (process ${pid}).`, `Stop it, then repeat: kill ${pid}`, { pid })
}
