/**
 * `stack archive`, `stack rm --all-of`, and the word about a name that is new: whole stacks, kept, put away and made by
 * a slip.
 */
import { ElderError } from '@elder-node/protocol'
import type { StackStatus } from '../../../api.ts'
import { ago, plain } from '../../render/units.ts'
import { askYes, canAsk, confirm } from '../confirm.ts'
import type { Context } from '../context.ts'
import { nearNames } from '../near-name.ts'
import { stackNamed } from '../stack-name.ts'
import { deviceNames } from './stack-look.ts'

interface Removing { undo: boolean, yes: boolean }

const WRITERS_SHOWN = 8
const NEAR_SHOWN = 3

export async function archive (context: Context, { undo }: { undo?: true }, [stack = '']: string[]): Promise<void> {
  const { client, output, signal, agent } = context
  const asked = { stack: stackNamed(stack), ...(undo === true ? { undo } : {}), ...agent }
  const answer = await client.call('stack.archive', asked, { signal })
  output.answer('stack-archive', answer, () => answer.archived
    ? `${plain(stack)} is archived: it can be read, and takes no writes. ` +
      `Back: elder-node stack archive ${plain(stack)} --undo`
    : `${plain(stack)} takes writes again.`)
}

/** @throws ElderError `NEEDS_YES`, `CANCELLED` */
export async function removeStack (context: Context, stack: string, { undo, yes }: Removing): Promise<void> {
  const { client, output, signal, agent } = context
  const command = `elder-node stack rm --all-of ${stackNamed(stack)} --yes`
  if (!undo) await confirm(context, yes, { ...await whatGoes(context, stack), command })
  const answer = await client.call('stack.removeAll', { stack, ...(undo ? { undo } : {}), ...agent }, { signal })
  output.answer('stack-removal', answer, () => answer.removed
    ? `${plain(stack)} is removed: ${entries(answer.entries)}. ` +
      `Back within 30 days: elder-node stack rm --all-of ${plain(stack)} --undo`
    : `${plain(stack)} is back: ${entries(answer.entries)}.`)
}

async function whatGoes (context: Context, name: string): Promise<{ what: string, details: string[] }> {
  const { client, signal } = context
  const stack = await known(context, name)
  if (stack === undefined) {
    throw new ElderError('NO_SUCH_STACK', `there is no stack "${name}" on this device`, 'elder-node stack list')
  }
  const names = await deviceNames(context)
  const writers = new Set<string>()
  let lastAt: string | null = null
  for await (const { at, author } of client.stream('stack.log', { stack: name, limit: 1000 }, { signal })) {
    lastAt ??= at
    writers.add(plain(author.agent ?? names.get(author.device) ?? author.device.slice(0, 8)))
  }
  const { copies, mirrors } = stack
  const [named, more] = [[...writers].slice(0, WRITERS_SHOWN).join(', '), writers.size - WRITERS_SHOWN]
  const remotes = mirrors.length === 0 ? '' : ` and ${mirrors.map(({ url }) => plain(url)).join(', ')}`
  return {
    what: `This removes the stack ${plain(name)} with ${entries(stack.entries)} from every device and mirror`,
    details: [
      `  written by ${named}${more > 0 ? ` and ${more} more` : ''}, last change ${ago(lastAt, Date.now())}`,
      `  on ${copies} ${copies === 1 ? 'device' : 'devices'}${remotes}`,
      '  It can be brought back for 30 days.',
    ],
  }
}

/**
 * A name that is typed for the first time makes a stack: one that nearly is another's is asked for at a terminal, else
 * told. So is one that was removed, which a write shows again.
 *
 * @throws ElderError `CANCELLED`
 */
export async function tellNew (context: Context, name: string): Promise<void> {
  const all = await context.client.call('stacks.list', { all: true }, { signal: context.signal })
  const stack = find(all, name)
  if (stack?.removed !== undefined) {
    const when = stack.removed.at.slice(0, 10)
    const back = `a write shows it again, with ${entries(stack.entries)} that it had.`
    return await doubt(context, `The stack ${name} was removed on ${when}; ${back}`, '', 'Write there?')
  }
  if (stack !== undefined) return
  const near = nearNames(name, all.filter(({ removed }) => removed === undefined).map(other => other.name))
  if (near.length === 0) return
  const meant = near.slice(0, NEAR_SHOWN).map(other => plain(other)).join(' or ')
  const undo = ` It is made now; elder-node stack rm --all-of ${name} removes it.`
  await doubt(context, `There is no stack "${name}" yet. Did you mean ${meant}?`, undo, `Make a new stack ${name}?`)
}

async function doubt (context: Context, what: string, otherwise: string, question: string): Promise<void> {
  if (canAsk(context)) await askYes(context, `${what} ${question}`)
  else context.output.warn(`${what}${otherwise}`)
}

async function known ({ client, signal }: Context, name: string): Promise<StackStatus | undefined> {
  const all = await client.call('stacks.list', { all: true }, { signal })
  return find(all.filter(({ removed }) => removed === undefined), name)
}

/** An archived stack of another mesh may be listed as `<name>@<mesh>`. */
function find (all: StackStatus[], name: string): StackStatus | undefined {
  return all.find(stack => stack.name === name) ?? all.find(stack => `${stack.name}@${stack.from ?? ''}` === name)
}

function entries (many: number): string { return `${many} ${many === 1 ? 'entry' : 'entries'}` }
