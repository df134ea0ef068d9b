/** `stack`: the memory that outlives every host. */
import { ElderError, LIMITS } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { ShownEntry } from '../../../api.ts'
import { entryJson, renderEntries, renderEntry, renderStacks, stackJson } from '../../render/stack.ts'
import { parseCount } from '../../../quantities.ts'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { readInput } from '../input.ts'
import { LATER_STACK, addLaterCommands } from '../later.ts'
import { stackOf } from '../stack-of.ts'
import { archive, removeStack, tellNew } from './stack-keep.ts'
import { deviceNames, page, registerLook } from './stack-look.ts'
import { registerMirrors } from './stack-mirrors.ts'

interface RemoveOptions { allOf?: string, undo?: true, yes?: true }
interface EditOptions { title?: string, body?: string, base?: string, overwrite?: true }
interface ShowOptions { kind?: string, tag?: string, limit?: string, at?: string }
interface WriteOptions { kind?: string, title?: string, body?: string, tag?: string[], supersedes?: string }
const collect = (value: string, all: string[] = []): string[] => [...all, value]
const help = (lines: string): string => `\nExamples:\n${lines}`
const KINDS = ['note', 'decision', 'task', 'skill']
const ULID_CHARS = 26
/** A ULID or the beginning of one, as people paste it. */
const ENTRY = /^[0-7][0-9A-HJKMNP-TV-Z]{3,25}$/

export function register (command: Command, kit: Kit): void {
  const { act } = kit
  command.addHelpText('after', help('  elder-node stack add my-repo --kind decision --title "auth tokens are PASETO" --body "because …"\n  elder-node stack show my-repo\n  elder-node stack remote add my-repo https://git.example.org/me/memory.git\n  elder-node stack sync my-repo'))
  command.command('list').description('every stack of the mesh').option('--all', 'archived and removed ones too').action(act(list)).addHelpText('after', help('  elder-node stack list\n  elder-node stack list --all'))
  command.command('add').description('write an entry').argument('[stack]', 'default: of this git worktree')
    .requiredOption('--kind <kind>', 'note, decision, task or skill').requiredOption('--title <title>')
    .option('--body <text|->', 'the text; - reads standard input').option('--tag <tag>', 'repeatable', collect).option('--supersedes <id>', 'id or prefix: the entry that this one replaces')
    .action(act(add)).addHelpText('after', help('  elder-node stack add my-repo --kind note --title "build needs zig 0.15"\n  elder-node stack add --kind decision --title "PASETO" --body - < why.md'))
  command.command('show').description('entries, or one entry').argument('[stack]').argument('[id]', 'id or unique prefix')
    .option('--kind <kind>').option('--tag <tag>').option('--limit <n>', 'the newest n').option('--at <revision>', 'the entry as it was then')
    .action(act(show)).addHelpText('after', help('  elder-node stack show my-repo\n  elder-node stack show my-repo 01K9ABCD\n  elder-node stack show --kind decision --json'))
  command.command('edit').description('change an entry; what others wrote meanwhile survives').usage('[stack] <id> [options]').argument('<id...>', '[stack] <id>')
    .option('--title <title>').option('--body <text|->', 'the whole new text; - reads standard input')
    .option('--base <revision>', 'the revision that the new text was made from').option('--overwrite', 'replace what somebody else wrote last')
    .action(act(edit)).addHelpText('after', `
\`stack show <id>\` prints the revision of an entry. With --base only what differs
from that revision is written, so edits made since then stay. Without it a new
text is refused when another device or agent wrote the text last (STALE_EDIT,
exit 1, with the difference); an edit after your own needs no base.
${help('  elder-node stack edit my-repo 01K9ABCD --title "auth tokens are PASETO v4"\n  elder-node stack edit 01K9ABCD --base q5tgr2mwx7k4nhcz --body - < why.md\n  elder-node stack edit 01K9ABCD --overwrite --body - < why.md')}`)
  command.command('rm').description('remove an entry, or a stack with all its entries').usage('[stack] <id> | --all-of <stack>').argument('[id...]', '[stack] <id>')
    .option('--all-of <stack>', 'the stack and all that it holds').option('--undo', 'bring it back').option('-y, --yes', 'do not ask')
    .action(act(remove)).addHelpText('after', `
An entry leaves the lists; its history stays, and --undo brings it back. A stack
leaves the lists and the mirrors at once, and the disks of all devices after 30
days: until then --undo brings it back. What another device wrote meanwhile
shows it again, an entry and a stack.
${help('  elder-node stack rm my-repo 01K9ABCD\n  elder-node stack rm my-repo 01K9ABCD --undo\n  elder-node stack rm --all-of fmtt\n  elder-node stack rm --all-of fmtt --undo')}`)
  command.command('archive').description('a stack takes no more writes, and leaves the lists').argument('<stack>').option('--undo', 'it takes writes again')
    .action(act(archive)).addHelpText('after', help('  elder-node stack archive old-repo\n  elder-node stack show old-repo\n  elder-node stack archive old-repo --undo'))
  command.command('digest').description('what every converged device prints alike').argument('[stack]')
    .action(act(digest)).addHelpText('after', help('  elder-node stack digest my-repo'))
  registerLook(command, kit)
  addLaterCommands(command, LATER_STACK)
  registerMirrors(command, kit)
}

async function list (context: Context, options: { all?: true }): Promise<void> {
  const { client, output, signal } = context
  const stacks = await client.call('stacks.list', options.all === true ? { all: true } : {}, { signal })
  const names = output.json && options.all === true ? await deviceNames(context) : new Map<string, string>()
  output.answer('stack-list', { stacks: stacks.map(stack => stackJson(stack, names)) }, () => output.quiet ? stacks.map(({ name }) => plain(name)).join('\n') : renderStacks(stacks, page(context)))
}

async function add (context: Context, options: WriteOptions, [named]: string[]): Promise<void> {
  const { client, output, signal, agent } = context
  const { kind = '', title = '', tag, supersedes } = options
  if (!KINDS.includes(kind)) throw new ElderError('USAGE', `"${kind}" is not a kind of entry`, `Use one of: ${KINDS.join(', ')}.`)
  if (title.trim() === '') throw new ElderError('USAGE', 'the title is empty', 'Give --title "what it is about".')
  const { name, claim, remember } = await stackOf(context, named, { writes: true })
  if (named !== undefined) await tellNew(context, name)
  const body = await bodyOf(context, options.body)
  const replaced = supersedes === undefined ? {} : { supersedes: await wholeId(context, name, supersedes) }
  const entry = await client.call('stack.add', {
    stack: name, entry: { kind, title, ...body, ...(tag === undefined ? {} : { tags: tag }), ...replaced }, ...agent, ...(claim === undefined ? {} : { claim }),
  }, { signal })
  await remember()
  await written(context, 'stack-add', name, entry, () => output.line(entry.id))
}

async function edit (context: Context, options: EditOptions, words: string[]): Promise<void> {
  const { id, named } = entryNamed('edit', words)
  if (options.title === undefined && options.body === undefined) throw new ElderError('USAGE', 'nothing to change', 'Give --title, --body or both.')
  const { base, overwrite } = options
  if (base !== undefined && overwrite === true) throw new ElderError('USAGE', '--base merges and --overwrite replaces', 'Give one of the two.')
  const { name } = await stackOf(context, named, { writes: true })
  const patch = { ...(options.title === undefined ? {} : { title: options.title }), ...await bodyOf(context, options.body) }
  const entry = await context.client.call('stack.edit', { stack: name, id, patch, ...context.agent, ...(base === undefined ? {} : { base }), ...(overwrite === true ? { overwrite } : {}) }, { signal: context.signal })
  await written(context, 'stack-edit', name, entry, () => context.output.line(entry.id))
}

async function remove (context: Context, { allOf, undo, yes }: RemoveOptions, words: string[]): Promise<void> {
  if (allOf !== undefined && words.length > 0) {
    throw new ElderError('USAGE', 'either an entry or a whole stack is removed', `elder-node stack rm --all-of ${allOf}`)
  }
  if (allOf !== undefined) return await removeStack(context, allOf, { undo: undo === true, yes: yes === true })
  if (words.length === 0) throw new ElderError('USAGE', 'the id of an entry is needed', `elder-node stack rm my-repo 01K9ABCD${undo === true ? ' --undo' : ''}`)
  const { id, named } = entryNamed('rm', words)
  const { name } = await stackOf(context, named, { writes: true })
  const gone = await context.client.call('stack.rm', { stack: name, id, ...(undo === true ? { undo } : {}), ...context.agent }, { signal: context.signal })
  context.output.answer('stack-rm', { stack: name, ...gone }, () => gone.removed
    ? `${gone.id} is removed from ${name}. Back: elder-node stack rm ${name} ${gone.id} --undo`
    : `${gone.id} is back in ${name}.`)
}

/** People copy the short ids that `stack show` prints; an entry that is not here yet is named in full. */
async function wholeId ({ client, signal }: Context, stack: string, id: string): Promise<string> {
  if (id.length === ULID_CHARS) return id
  for await (const entry of client.stream('stack.show', { stack, id }, { signal })) return entry.id
  return id
}

/** [stack] <id>: a word alone is the id. */
function entryNamed (verb: string, words: string[]): { id: string, named: string | undefined } {
  const [id = '', named] = words.toReversed()
  if (words.length > 2) throw new ElderError('USAGE', 'too many words: a stack and the id of an entry are taken', `elder-node stack ${verb} my-repo 01K9ABCD`)
  if (named === undefined && !ENTRY.test(id.toUpperCase())) throw new ElderError('USAGE', `"${id}" is not the id of an entry`, `elder-node stack ${verb} ${id} <id>   (elder-node stack show ${id} lists the ids)`)
  if (named !== undefined && ENTRY.test(named.toUpperCase()) && !ENTRY.test(id.toUpperCase())) throw new ElderError('USAGE', 'the stack goes before the id of its entry', `elder-node stack ${verb} ${id} ${named}`)
  return { id, named }
}

async function written (context: Context, schema: string, stack: string, entry: ShownEntry, line: () => void): Promise<void> {
  const { output } = context
  if (output.json) return output.document(schema, { stack, id: entry.id, entry: entryJson(entry, await deviceNames(context)) })
  output.note(`${plain(entry.kind)} "${plain(entry.title)}" in ${stack}`)
  line()
}

async function show (context: Context, { kind, tag, limit, at }: ShowOptions, words: string[]): Promise<void> {
  const { client, output, signal } = context
  const [first, second] = words
  const onlyId = second === undefined && first !== undefined && ENTRY.test(first)
  const { name } = await stackOf(context, onlyId ? undefined : first)
  const id = onlyId ? first : second
  if (at !== undefined && id === undefined) throw new ElderError('USAGE', '--at is a revision of one entry', `elder-node stack show ${name} <id> --at ${at}`)
  const entries: ShownEntry[] = []
  const params = { stack: name, ...(id === undefined ? {} : { id }), ...(at === undefined ? {} : { at }), ...(kind === undefined ? {} : { kind }), ...(tag === undefined ? {} : { tag }) }
  for await (const entry of client.stream('stack.show', params, { signal })) entries.push(entry)
  const shown = limit === undefined ? entries : entries.slice(-parseCount(limit, { min: 1, integer: true }))
  if (output.quiet && !output.json) return void shown.forEach((entry) => { output.line(entry.id) })
  const names = await deviceNames(context)
  output.answer('stack-show', { stack: name, entries: shown.map(entry => entryJson(entry, names)) }, () => id !== undefined && entries[0] !== undefined ? renderEntry(name, entries[0], names, output.paint) : renderEntries(shown, names, page(context)))
  if (shown.length < entries.length) output.note(`the newest ${shown.length} of ${entries.length}`)
}

async function digest (context: Context, _options: object, [named]: string[]): Promise<void> {
  const { name } = await stackOf(context, named)
  const made = await context.client.call('stack.digest', { stack: name }, { signal: context.signal })
  context.output.answer('stack-digest', made, () => `digest  ${made.digest}\nfeeds   ${made.feeds}`)
}

async function bodyOf ({ io }: Context, body: string | undefined): Promise<{ body?: string }> {
  if (body === undefined) return {}
  return { body: body === '-' ? await readInput(io, '-', { bytesMax: LIMITS.recordBytesMax, hint: 'Type the text' }) : body }
}
