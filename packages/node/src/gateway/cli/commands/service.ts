/** `service`: this node from boot on, started by systemd from a copy of its own. */
import { homedir, userInfo } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import { packageRoot } from '../../../package-root.ts'
import { plain } from '../../render/units.ts'
import { installService, planService } from '../../service/install.ts'
import type { InstallInit } from '../../service/install.ts'
import { dirOf } from '../../service/plan.ts'
import type { Places, Scope } from '../../service/plan.ts'
import { removeService, serviceStatus } from '../../service/remove.ts'
import { machine } from '../../service/system.ts'
import type { System } from '../../service/system.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import { settingsOfFlags } from '../join-flags.ts'
import type { JoinFlags } from '../join-flags.ts'
import { readTicket } from '../ticket.ts'
import { VERSION } from '../../../version.ts'

interface Where { system?: true }
interface Install extends Where, Omit<JoinFlags, 'trustBuilds'> { ticketFile?: string, print?: true, dryRun?: true }

const collect = (value: string, all: string[] = []): string[] => [...all, value]
const examples = (lines: string): string => `\nExamples:\n${lines}`
const SYSTEM = ['--system', 'for the whole machine, by a user of its own (as root); else for you'] as const

export function register (command: Command, { act }: Kit): void {
  command.addHelpText('after', examples('  elder-node service install\n  elder-node service status\n  elder-node service remove'))
  command.command('install').description('start this node at boot, from a copy of this version; again: upgrade').option(...SYSTEM)
    .option('--ticket-file <path|->', 'read the ticket from a file or from standard input').option('--print', 'print the unit and do nothing').option('--dry-run', 'the same')
    .option('--name <name>', 'as for join; like those below it is kept as a setting').option('--listen <multiaddr>', 'repeatable', collect).option('--announce <multiaddr>', 'repeatable', collect)
    .option('--relay <auto|on|off>', 'relay for others').option('--slots <n>', 'builds at once').option('--engine <name>', 'what runs builds').option('--no-mdns', 'do not look for devices on the local network')
    .addHelpText('after', `\nThe copy and its Node stay as they are, whatever npm does; the version before\nit stays beside it.\n${examples('  elder-node service install --slots 2\n  sudo npx elder-node service install --system --ticket-file /boot/elder-ticket\n  elder-node service install --print')}`)
    .action(act(install))
  command.command('status').description('what is installed and whether it runs').option(...SYSTEM).addHelpText('after', examples('  elder-node service status\n  elder-node service status --system --json')).action(act(status))
  command.command('remove').description('stop it and remove the unit and the copies').option(...SYSTEM).option('--purge', 'also this device\'s data: its key and all memory that is only here')
    .addHelpText('after', examples('  elder-node service remove\n  sudo elder-node service remove --system --purge')).action(act(remove))
}

async function install (context: Context, options: Install): Promise<number> {
  const { io, output } = context
  const system = machine(io.env)
  const scope = scopeOf(system, options, { asRoot: options.print !== true && options.dryRun !== true })
  const ticket = await readTicket(io, { file: options.ticketFile, signal: context.signal })
  const init: InstallInit = { scope, dir: dirFor(context, scope), program: fileURLToPath(packageRoot), version: VERSION, node: process.execPath, ticket, settings: settingsOfFlags(options), userName: userInfo().username }
  const places = placesOf(context)
  if (options.print === true || options.dryRun === true) {
    const { plan, unit } = await planService(system, places, init)
    output.answer('service', { action: 'print', scope, unitPath: plan.unitPath, dir: plan.dir, version: plan.version, unit }, () => unit.trimEnd())
    return EXIT.ok
  }
  const { plan, state, commands, warnings, removedVersions } = await installService(system, places, init)
  for (const warning of warnings) output.warn(warning)
  output.answer('service', { action: 'install', scope, state, unitPath: plan.unitPath, dir: plan.dir, version: plan.version, node: plan.node, commands: commands.map(words => words.join(' ')), removedVersions }, () => [
    `elder-node ${plan.version} is ${state === 'written' ? 'ready to start at boot' : `a service of ${scope === 'user' ? 'yours' : 'this machine'}, ${state}`}`,
    `  unit ${plan.unitPath}`, `  data ${plan.dir}`,
    ...commands.length === 0 ? [] : ['Run this to finish:', ...commands.map(words => `  ${words.join(' ')}`)],
    ...options.ticketFile === undefined || options.ticketFile === '-' ? [] : [`A copy of the ticket is kept for the node; ${plain(options.ticketFile)} may be removed.`],
    `Look: elder-node status --dir ${plan.dir}      Log: journalctl ${scope === 'user' ? '--user ' : ''}--unit ${plan.unitName}`,
  ].join('\n'))
  return EXIT.ok
}

async function status (context: Context, options: Where): Promise<number> {
  const system = machine(context.io.env)
  const scope = scopeOf(system, options, { asRoot: false })
  const found = await serviceStatus(system, placesOf(context), scope)
  context.output.answer('service', { action: 'status', scope, dir: dirFor(context, scope), ...found }, () => found.installed
    ? `elder-node ${found.version ?? 'of an unknown version'}: ${found.active === 'unknown' && found.enabled === 'unknown' ? 'installed; systemd does not run here' : `${found.active}, ${found.enabled}`}\n  unit ${found.unitPath}\n  copies ${found.versions.join(', ') || 'none'}`
    : `no service${scope === 'user' ? ' of yours' : ' of this machine'}. Install: elder-node service install${scope === 'user' ? '' : ' --system'}`)
  return EXIT.ok
}

async function remove (context: Context, options: Where & { purge?: true }): Promise<number> {
  const { output } = context
  const system = machine(context.io.env)
  const scope = scopeOf(system, options, { asRoot: true })
  const dir = dirFor(context, scope)
  const { plan } = await planService(system, placesOf(context), { scope, dir, program: '', version: VERSION, node: process.execPath, ticket: undefined, settings: {}, userName: '' })
  const { removed, commands } = await removeService(system, placesOf(context), { scope, dir, purge: options.purge === true, ticketPath: plan.ticketPath })
  if (commands.length > 0) output.warn('systemd does not run here: if it does elsewhere with this disk, run what is printed')
  output.answer('service', { action: 'remove', scope, removed, commands: commands.map(words => words.join(' ')) }, () => [
    removed.length === 0 ? 'no service was installed' : `removed ${removed.join(', ')}`,
    ...commands.map(words => `  ${words.join(' ')}`),
    ...options.purge === true || removed.length === 0 ? [] : [`The data of this device stays in ${dir}; --purge removes it.`],
    ...options.purge === true ? ['Tell the mesh, on another device: elder-node evict <this device>'] : [],
  ].join('\n'))
  return EXIT.ok
}

function scopeOf ({ platform, uid }: System, { system }: Where, { asRoot }: { asRoot: boolean }): Scope {
  if (platform !== 'linux') throw new ElderError('SERVICE_UNSUPPORTED', `\`service\` writes systemd units; ${platform} has none.`, platform === 'darwin' ? 'Start it at login: System Settings > General > Login Items, with a script that runs: elder-node join --detach' : 'Start it at logon with the Task Scheduler: elder-node join --detach')
  if (system === true && asRoot && uid !== 0) throw new ElderError('NEEDS_ROOT', 'a service of the whole machine needs root', 'Repeat with sudo, or without --system for a service of your own.')
  return system === true ? 'system' : 'user'
}

/** What `--dir` or the environment says is meant for either; the default of a person is not the machine's. */
function dirFor ({ globals, io, location }: Context, scope: Scope): string {
  const named = globals.dir !== undefined || (io.env.ELDER_NODE_DIR ?? '') !== ''
  return dirOf(scope, { given: named ? location.dir : undefined, byDefault: location.dir })
}

function placesOf ({ io }: Context): Places { return { home: io.env.HOME ?? homedir(), env: io.env } }
