/** `evict`: a device is no longer a member, for ever: its key never comes back. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { Evictee } from '../../../api.ts'
import { ago, plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import { confirm } from '../confirm.ts'
import type { Context } from '../context.ts'

interface Options { undo?: true, keep?: true, yes?: true }

export function register (command: Command, { act }: Kit): void {
  command
    .argument('<device>', 'name or id prefix')
    .option('--undo', 'also take back what it wrote; it may be gone already')
    .option('--keep', 'of a device that is evicted: what it wrote beyond its cut counts again')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', `
Shows the device, and asks before it does anything; where nobody can be asked,
--yes is needed. The other devices are asked how far they know what it wrote: up
to there it stays in the memory. That is its cut. What turns up later is kept
aside by the devices that have it, and not shown: --keep asks those that are
connected for it, and brings it back on all devices. Whoever has the key of the
device may have written it. Afterwards only --undo takes it back, with all that
the device wrote.

Examples:
  elder-node evict old-laptop
  elder-node evict old-laptop --yes --json
  elder-node evict k3fz2q --undo
  elder-node evict old-laptop --keep`)
    .action(act(evict))
}

async function evict (context: Context, { undo, keep, yes }: Options, [device = '']: string[]): Promise<void> {
  if (undo === true && keep === true) {
    const what = '--keep brings back what --undo takes back: give one of the two'
    throw new ElderError('USAGE', what, `elder-node evict ${plain(device)} --keep`)
  }
  const deed = keep === true ? KEEP : undo === true ? UNDO : EVICT
  const { client, output, signal } = context
  const evictee = await client.call('evict.whom', { device, ...deed.options }, { signal })
  const command = ['elder-node evict', evictee.id.slice(0, 12), ...deed.flags, '--yes'].join(' ')
  await confirm(context, yes === true, { what: deed.what(evictee), command })
  // By its id: a name may be another device's by now.
  const gone = await client.call('evict', { device: evictee.id, ...deed.options }, { signal })
  const { remotes, kept } = evictee
  const answer = { device: gone, remotes, ...(kept === undefined ? {} : { kept }) }
  output.answer('evict', answer, () => [deed.done(evictee), ...remotes.map(ended)].join('\n'))
}

interface Deed {
  options: { undo?: true, keep?: true }
  flags: string[]
  what: (evictee: Evictee) => string
  done: (evictee: Evictee) => string
}

const EVICT: Deed = {
  options: {}, flags: [],
  what: evictee => `This evicts ${shown(evictee)} for ever: its key can never return`,
  done: evictee => `${named(evictee)} is no longer a member of this mesh.`,
}

const UNDO: Deed = {
  options: { undo: true }, flags: ['--undo'],
  what: evictee => evictee.role === null
    ? `This takes back all that ${shown(evictee)} wrote`
    : `${EVICT.what(evictee)}, and all that it wrote is taken back`,
  done: evictee => evictee.role === null
    ? `All that ${named(evictee)} wrote is taken back.`
    : `${named(evictee)} is no longer a member of this mesh, and all that it wrote is taken back.`,
}

const KEEP: Deed = {
  options: { keep: true }, flags: ['--keep'],
  what: evictee => `This brings back what ${shown(evictee)} wrote beyond its cut, in ${stacksOf(evictee)}; ` +
    'afterwards only --undo takes it back, with all that it wrote',
  done: evictee => `What ${named(evictee)} wrote beyond its cut counts again, in ${stacksOf(evictee)}.`,
}

function stacksOf ({ kept = [] }: Evictee): string {
  return `${kept.length === 1 ? 'the stack' : 'the stacks'} ${kept.map(({ stack }) => plain(stack)).join(', ')}`
}

function named ({ id, name }: Evictee): string { return `${plain(name)} (${id.slice(0, 12)})` }

function shown ({ id, name, role, lastSeen }: Evictee): string {
  const seen = ago(lastSeen, Date.now())
  return `${plain(name)} (id ${id.slice(0, 12)}, ${role ?? 'no member any more'}, last seen ${seen})`
}

function ended ({ stack, url }: Evictee['remotes'][number]): string {
  return `Nothing is pushed any more to its remote ${plain(url)}. ` +
    `To go on: elder-node stack remote add ${plain(stack)} ${plain(url)}`
}
