/** `service install`: the copy, the settings, the ticket, the unit; then systemd. Every step may be repeated. */
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { dataDirAt } from '../../adapters/data-dir.ts'
import { makePrivateDir } from '../../adapters/files.ts'
import { lockHolder } from '../../adapters/lock.ts'
import { replaceFile } from '../../adapters/replace-file.ts'
import { readSettingsFile, writeSettingsFile } from '../../adapters/settings-file.ts'
import { textOf } from '../../device-config/resolve.ts'
import type { StoredSettings } from '../../device-config/resolve.ts'
import { copyProgram, pruneVersions } from './copies.ts'
import { hasMesh } from '../location.ts'
import { lingerCommand, startCommands, SYSTEM_USER, UNIT, unitPathOf, versionsOf } from './plan.ts'
import type { Places, Plan, Scope } from './plan.ts'
import type { System } from './system.ts'
import { entryIn, renderUnit } from './unit.ts'

export interface InstallInit {
  scope: Scope
  dir: string
  /** Folder of the package that is copied. */
  program: string
  version: string
  /** The Node that starts it, copied when npm or the machine may take it away. */
  node: string
  ticket: string | undefined
  /** What the flags say, for settings.json. */
  settings: StoredSettings
  userName: string
}
export interface Installed { plan: Plan, unit: string, state: 'running' | 'starting' | 'written', commands: string[][], warnings: string[], removedVersions: string[] }

/** The plan and the unit, without touching anything. @throws ElderError `SERVICE_PATH` */
export async function planService (system: System, places: Places, init: InstallInit): Promise<{ plan: Plan, unit: string }> {
  const { scope, dir, version } = init
  const settings = { ...readSettingsFile(dataDirAt(dir).settings), ...init.settings }
  const plan: Plan = {
    scope, dir, version, unitName: UNIT, unitPath: unitPathOf(scope, places), versions: versionsOf(scope, places), user: scope === 'system' ? SYSTEM_USER : undefined,
    ticketPath: scope === 'system' ? '/etc/elder-node/ticket' : join(dir, 'ticket'), ticket: false, node: init.node, engine: settings['engine'] === undefined ? 'auto' : textOf(settings['engine']),
  }
  plan.ticket = init.ticket !== undefined || existsSync(plan.ticketPath)
  if (mayVanish(plan.node, scope)) plan.node = join(plan.versions, version, 'node')
  const docker = scope === 'system' && ['auto', 'docker'].includes(plan.engine) && await system.hasGroup('docker')
  return { plan, unit: renderUnit(plan, { groups: docker ? ['docker'] : [] }) }
}

/** @throws ElderError `LOCKED`, `SERVICE_DIR`, `SERVICE_USER`, `SERVICE_START`, `NOT_BUILT`, … */
export async function installService (system: System, places: Places, init: InstallInit): Promise<Installed> {
  const { plan, unit } = await planService(system, places, init)
  const before = existsSync(plan.unitPath) ? versionIn(readFileSync(plan.unitPath, 'utf8')) : undefined
  if (!existsSync(plan.unitPath)) refuseSecondNode(plan.dir)
  const mesh = hasMesh(plan.dir)
  await copyProgram(init.program, plan.versions, plan.node === init.node ? {} : { node: init.node })
  await prepareData(system, plan, init)
  await replaceFile(plan.unitPath, unit)
  const started = system.hasSystemd() ? await start(system, plan, init.userName) : notStarted(plan, init.userName)
  if (!plan.ticket && !mesh) started.warnings.push(`this device is in no mesh, so the service founds one, and nobody sees the text that recovers it. To keep it: elder-node service remove --purge${init.scope === 'system' ? ' --system' : ''}; elder-node join --detach --save-recovery <path>; then stop that node and install again`)
  const removedVersions = await pruneVersions(plan.versions, { current: plan.version, before })
  return { plan, unit, removedVersions, ...started }
}

/** The version whose copy a unit starts. */
export function versionIn (unit: string): string | undefined {
  const entry = entryIn(unit)
  return entry === undefined ? undefined : /\/versions\/([^/]+)\//.exec(entry)?.[1]
}

/** Of npm's folders, of npx, and of homes that the service's user cannot enter. */
function mayVanish (node: string, scope: Scope): boolean {
  return /\/(node_modules|_npx)\//.test(node) || (scope === 'system' && /^\/(root|home)\//.test(node))
}

function refuseSecondNode (dir: string): void {
  const pid = lockHolder(dataDirAt(dir).lock)
  if (pid !== undefined) throw new ElderError('LOCKED', `A node runs on ${dir} already (process ${pid}); a service would start a second one.`, `Stop it, then repeat: kill ${pid}`, { pid })
}

async function prepareData (system: System, plan: Plan, { settings, ticket }: InstallInit): Promise<void> {
  const owner = plan.user === undefined ? undefined : await system.ensureUser(plan.user)
  const give = async (path: string): Promise<void> => { if (owner !== undefined) await system.giveTo(path, owner) }
  if (!existsSync(plan.dir)) {
    // What is above belongs to root and may be entered; the folder itself is the node's alone.
    await mkdir(dirname(plan.dir), { recursive: true })
    makePrivateDir(plan.dir)
    await give(plan.dir)
  }
  if (owner !== undefined && lstatSync(plan.dir).uid !== owner.uid) throw new ElderError('SERVICE_DIR', `${plan.dir} does not belong to ${plan.user}, who runs the service.`, `chown -R ${plan.user}: ${plan.dir}   then repeat`)
  const file = dataDirAt(plan.dir).settings
  if (Object.keys(settings).length > 0) {
    writeSettingsFile(file, { ...readSettingsFile(file), ...settings })
    await give(file)
  }
  if (ticket === undefined) return
  await mkdir(dirname(plan.ticketPath), { recursive: true, mode: 0o700 })
  await writeFile(plan.ticketPath, `${ticket}\n`, { mode: 0o600 })
  await chmod(plan.ticketPath, 0o600)
}

async function start (system: System, plan: Plan, userName: string): Promise<Pick<Installed, 'state' | 'commands' | 'warnings'>> {
  for (const words of startCommands(plan)) {
    const { code, stderr } = await system.run(words)
    if (code !== 0) throw new ElderError('SERVICE_START', `\`${words.join(' ')}\` ended with ${code}: ${stderr.trim()}`, plan.scope === 'user' ? 'Is this a login session? Over ssh without one: export XDG_RUNTIME_DIR=/run/user/$(id -u), then repeat.' : `journalctl --unit ${plan.unitName} says more.`)
  }
  const { stdout } = await system.run(['systemctl', ...plan.scope === 'user' ? ['--user'] : [], 'is-active', plan.unitName])
  const state = stdout.trim() === 'active' ? 'running' : 'starting'
  if (plan.scope === 'system' || (await system.run(lingerCommand(userName))).code === 0) return { state, commands: [], warnings: [] }
  return { state, commands: [['sudo', ...lingerCommand(userName)]], warnings: ['the service runs only while you are logged in, until lingering is allowed'] }
}

function notStarted (plan: Plan, userName: string): Pick<Installed, 'state' | 'commands' | 'warnings'> {
  const commands = [...startCommands(plan), ...plan.scope === 'user' ? [lingerCommand(userName)] : []]
  return { state: 'written', commands, warnings: ['systemd does not run here: the unit is written and nothing is started'] }
}
