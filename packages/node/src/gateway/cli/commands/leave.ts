/** `leave`: this device goes, for good, and keeps nothing of the mesh. */
import { createInterface } from 'node:readline/promises'
import { codeOf, ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import { dataDirAt } from '../../../adapters/data-dir.ts'
import { forgetMesh } from '../../../adapters/forget-mesh.ts'
import { takeLock } from '../../../adapters/lock.ts'
import type { Departure } from '../../../api.ts'
import { hasMesh } from '../../location.ts'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

interface Options { force?: true, yes?: true }

export function register (command: Command, { act }: Kit): void {
  command
    .option('--force', 'also as the last admin, with stacks that are only here, or with nobody told')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', `
Waits up to 10 s until others hold what is only here, tells them, stops the node
and removes its key, its stacks and its builds from this device. What you set
with \`config\` stays. A later \`join\` is a new device.

Examples:
  elder-node leave
  elder-node leave --yes --json
  elder-node leave --force   also when no node runs here: others still list it`)
    .action(act(leave))
}

async function leave (context: Context, { force, yes }: Options): Promise<void> {
  const { client, output, signal } = context
  if (yes !== true) await confirm(context)
  const done = output.progress('waiting until others hold what is only here')
  try {
    const departure = await client.call('leave', force === true ? { force } : {}, { signal })
    done()
    output.answer('leave', { ...departure, offline: false }, () => `${plain(departure.device.name)} has left the mesh ${plain(departure.mesh.name)}; ${toldOf(departure)}.${departure.lost.length === 0 ? '' : `\nLost with it: ${departure.lost.map(name => plain(name)).join(', ')}`}`)
  } catch (error) {
    if (codeOf(error) !== 'NOT_RUNNING') throw error
    leaveOffline(context, force === true)
  } finally {
    done()
  }
}

function toldOf ({ told }: Departure): string { return told.length === 0 ? 'nobody was there to be told' : `${told.map(({ name }) => plain(name)).join(', ')} ${told.length === 1 ? 'knows' : 'know'}` }

/** Without a node nobody can be told: only on the owner's express word. @throws ElderError `NOT_RUNNING`, `LOCKED` */
function leaveOffline ({ location, output }: Context, force: boolean): void {
  if (!force) throw new ElderError('NOT_RUNNING', `the node of ${location.dir} is not running, so the other devices would not hear of it`, 'elder-node join   then leave again; or elder-node leave --force, and evict this device on another one')
  const dir = dataDirAt(location.dir)
  const lock = takeLock(dir.lock)
  try {
    forgetMesh(dir)
  } finally {
    lock.release()
  }
  output.answer('leave', { device: null, mesh: null, told: [], lost: null, offline: true }, () => 'This device has forgotten its mesh. The others still list it: elder-node evict <name> there.')
}

/** Only a person at a terminal is asked. @throws ElderError `CANCELLED` */
async function confirm ({ io, globals, location, output, signal }: Context): Promise<void> {
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true || !globals.input || output.json || !hasMesh(location.dir)) return
  const asking = createInterface({ input: io.stdin, output: io.stderr })
  try {
    const answer = await asking.question('Leave the mesh? Its key, stacks and builds are removed from this device. [y/N] ', { signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new ElderError('CANCELLED', 'nothing was done', '')
  } catch (error) {
    // Readline takes Ctrl-C for itself, and names it so.
    if (codeOf(error) !== 'ABORT_ERR') throw error
    output.rawError('\n')
    throw signal.aborted ? signal.reason as Error : new ElderError('CANCELLED', 'nothing was done', '')
  } finally {
    asking.close()
  }
}
