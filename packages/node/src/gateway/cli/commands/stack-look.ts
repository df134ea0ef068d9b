/** `stack search`, `stack log`, `stack verify`: what is known, who wrote it, and the proof that it is all there. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { EntryChange } from '../../../api.ts'
import { authorJson, hitJson, renderChanges, renderHits, renderLog, renderProof, type Names, type Page } from '../../render/stack.ts'
import { parseCount } from '../../../quantities.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import { stackOf } from '../stack-of.ts'

interface SearchOptions { all?: true, kind?: string, tag?: string, limit?: string }
interface LogOptions { entry?: string, limit?: string }

const help = (lines: string): string => `\nExamples:\n${lines}`

export function registerLook (stack: Command, { act }: Kit): void {
  stack.command('search').description('entries by the words in their titles, tags and texts').usage('[stack] <words…> [options]').argument('<words...>', '[stack] <words…>')
    .option('--all', 'every stack, archived ones too (default: the one named, else that of this git worktree, else all)')
    .option('--kind <kind>', 'note, decision, task or skill').option('--tag <tag>').option('--limit <n>', 'how many (default: 20, at most 200)')
    .action(act(search)).addHelpText('after', help('  elder-node stack search my-repo auth tokens\n  elder-node stack search --all paseto --kind decision\n  elder-node stack search zig --json | jq -r \'.hits[].entry.id\''))
  stack.command('log').description('who wrote what, newest first').argument('[stack]', 'default: of this git worktree')
    .option('--entry <id>', 'of one entry, with what each change did: id or unique prefix').option('--limit <n>', 'how many (default: 50)')
    .action(act(log)).addHelpText('after', help('  elder-node stack log my-repo\n  elder-node stack log my-repo --entry 01K9ABCD --limit 5\n  elder-node stack log --json | jq -r \'[.at, .author.agent, .change] | @tsv\''))
  stack.command('verify').description('prove it: feeds on the disk, other devices, remotes').argument('[stack]', 'default: of this git worktree')
    .action(act(verify)).addHelpText('after', `
Reads every feed from the disk again and checks checksums, hash chains and
signatures; computes the digest anew and compares it with what this node shows,
with every device that is online, and with what each remote holds. Exit 1 when
something is wrong; a device or a remote that cannot be reached is said, and is
not wrong.
${help('  elder-node stack verify my-repo\n  elder-node stack verify my-repo --json | jq \'.devices[] | {name, state}\'')}`)
}

async function search (context: Context, { all, kind, tag, limit }: SearchOptions, words: string[]): Promise<void> {
  const { client, output, signal } = context
  const { stack, query } = await where(context, words, all === true)
  const hits = await client.call('stack.search', {
    query, ...(stack === undefined ? {} : { stack }), ...(all === true ? { all } : {}), ...(kind === undefined ? {} : { kind }), ...(tag === undefined ? {} : { tag }), ...limited(limit),
  }, { signal })
  if (output.quiet && !output.json) return void hits.forEach(({ entry }) => { output.line(entry.id) })
  const names = await deviceNames(context)
  output.answer('stack-search', { query, stack: stack ?? null, hits: hits.map(hit => hitJson(hit, names)) }, () => hits.length === 0 ? `nothing in ${stack ?? 'any stack'} has these words` : renderHits(hits, names, page(context)))
}

/** The first word names the stack when it is one and more words follow. */
async function where (context: Context, words: string[], all: boolean): Promise<{ stack: string | undefined, query: string }> {
  const { client, signal } = context
  const [first = '', ...more] = words
  if (words.join('').trim() === '') throw new ElderError('USAGE', 'there are no words to look for', 'elder-node stack search my-repo auth tokens')
  const stacks = (await client.call('stacks.list', {}, { signal })).map(({ name }) => name)
  if (!all && more.length > 0 && stacks.includes(first)) return { stack: first, query: more.join(' ') }
  const here = all ? undefined : await stackOf(context, undefined).then(({ name }) => name, () => undefined)
  return { stack: here !== undefined && stacks.includes(here) ? here : undefined, query: words.join(' ') }
}

async function log (context: Context, { entry, limit }: LogOptions, [named]: string[]): Promise<void> {
  const { client, output, signal } = context
  const { name: stack } = await stackOf(context, named)
  const items: EntryChange[] = []
  const names = await deviceNames(context)
  for await (const item of client.stream('stack.log', { stack, ...(entry === undefined ? {} : { entry }), ...limited(limit) }, { signal })) {
    if (output.json) output.document('stack-log', { stack, ...item, author: authorJson(item.author, names) })
    else items.push(item)
  }
  if (output.json) return
  output.line(entry === undefined ? renderLog(items, names, page(context)) : renderChanges(items, names, page(context)))
}

async function verify (context: Context, _options: object, [named]: string[]): Promise<number> {
  const { client, output, signal } = context
  const { name: stack } = await stackOf(context, named)
  const done = output.progress(`verifying ${stack}: the disk, the other devices, the remotes`)
  const proof = await client.call('stack.verify', { stack }, { signal }).finally(done)
  output.answer('stack-verify', { ok: proof.problems.length === 0, ...proof }, () => renderProof(proof, page(context)))
  return proof.problems.length === 0 ? EXIT.ok : EXIT.error
}

/** Of the devices that are members now; others are shown by their id. */
export async function deviceNames ({ client, signal }: Context): Promise<Names> {
  return new Map((await client.call('devices', {}, { signal })).map(({ id, name }) => [id, name]))
}

export function page ({ output }: Context): Page { return { paint: output.paint, nowMs: Date.now(), width: output.width } }

function limited (limit: string | undefined): { limit?: number } {
  return limit === undefined ? {} : { limit: parseCount(limit, { min: 1, integer: true }) }
}
