/** `leave`: this device goes, for good, and keeps nothing of the mesh. */
import { codeOf, ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import { dataDirAt } from '../../../adapters/data-dir.ts'
import { forgetMesh } from '../../../adapters/forget-mesh.ts'
import { takeLock } from '../../../adapters/lock.ts'
import type { Departure, Status } from '../../../api.ts'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'

/** Codes that say that no node runs here, and the second that none will. */
const NO_NODE: ReadonlySet<string> = new Set(['NOT_RUNNING', 'EVICTED'])

interface Options { force?: true, yes?: true }

export function register (command: Command, { act }: Kit): void {
  command
    .option('--force', 'also as the last admin, with stacks that are only here, or with nobody told')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', `
Waits up to 10 s until others hold what is only here, tells them, stops the node
and removes its key, its stacks and its builds from this device. What you set
with \`config\` stays. A later \`join\` is a new device. Shows what it hits, and
asks; where nobody can be asked, --yes is needed.

Examples:
  elder-node leave
  elder-node leave --yes --json
  elder-node leave --force   also when no node runs here (others still list it)`)
    .action(act(leave))
}

async function leave (context: Context, { force, yes }: Options): Promise<void> {
  const { client, output, signal } = context
  await confirm(context, yes === true, {
    what: deed(await self(context, force === true), context), command: `elder-node leave${force === true ? ' --force' : ''} --yes`,
  })
  const done = output.progress('waiting until others hold what is only here')
  try {
    const departure = await client.call('leave', force === true ? { force } : {}, { signal })
    done()
    output.answer('leave', { ...departure, offline: false }, () => `${plain(departure.device.name)} has left the mesh ${plain(departure.mesh.name)}; ${toldOf(departure)}.${departure.lost.length === 0 ? '' : `\nLost with it: ${departure.lost.map(name => plain(name)).join(', ')}`}`)
  } catch (error) {
    if (!NO_NODE.has(codeOf(error))) throw error
    leaveOffline(context, force === true)
  } finally {
    done()
  }
}

function toldOf ({ told }: Departure): string { return told.length === 0 ? 'nobody was there to be told' : `${told.map(({ name }) => plain(name)).join(', ')} ${told.length === 1 ? 'knows' : 'know'}` }

/** Without a node nobody can be told: only on the owner's express word. @throws ElderError `NOT_RUNNING`, `LOCKED` */
function leaveOffline ({ location, output }: Context, force: boolean): void {
  if (!force) throw notRunning(location)
  const dir = dataDirAt(location.dir)
  const lock = takeLock(dir.lock)
  try {
    forgetMesh(dir)
  } finally {
    lock.release()
  }
  output.answer('leave', { device: null, mesh: null, told: [], lost: null, offline: true }, () => 'This device has forgotten its mesh. The others still list it: elder-node evict <name> there.')
}

function notRunning ({ dir }: Context['location']): ElderError {
  const fix = 'elder-node join   then leave again; or elder-node leave --force, and evict this device on another one'
  return new ElderError('NOT_RUNNING', `the node of ${dir} is not running, so the other devices would not hear of it`, fix)
}

/** This device as the others list it; null where no node runs to say so and `force` does without. @throws ElderError `NO_MESH`, `NOT_RUNNING` */
async function self ({ client, location, signal }: Context, force: boolean): Promise<{ status: Status, role: string } | null> {
  try {
    const status = await client.call('status', {}, { signal })
    return { status, role: status.devices.find(({ id }) => id === status.self.id)?.role ?? 'no member' }
  } catch (error) {
    if (!NO_NODE.has(codeOf(error)) || (!force && codeOf(error) !== 'NOT_RUNNING')) throw error
    if (!force) throw notRunning(location)
    return null
  }
}

function deed (found: Awaited<ReturnType<typeof self>>, { location }: Context): string {
  const hit = found === null
    ? `This takes the device of ${location.dir}`
    : `This takes ${plain(found.status.self.name)} (this device, id ${found.status.self.id.slice(0, 12)}, ${found.role})`
  return `${hit} out of ${found === null ? 'its mesh' : `the mesh ${plain(found.status.mesh.name)}`} for ever, and removes its key, its stacks and its builds from here`
}
