/** `stack remote`, `stack sync`, `stack restore`: copies on git remotes, and the way back. */
import { codeOf, ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import { nearest } from '../../../device-config/nearest.ts'
import type { ControlAnswers } from '../../control-handlers.ts'
import { authorJson } from '../../render/stack.ts'
import { renderProblems } from '../../render/status.ts'
import { table } from '../../render/table.ts'
import { ago, plain } from '../../render/units.ts'
import { wrap } from '../../render/width.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'
import type { Output } from '../output.ts'
import { nearNames } from '../near-name.ts'
import { stackNamed } from '../stack-name.ts'
import { addLaterOptions } from '../later.ts'
import { deviceNames } from './stack-look.ts'

type Synced = ControlAnswers['stack.sync'][number]

const help = (lines: string): string => `\nExamples:\n${lines}`
const REMOTES = [{ title: 'STACK', flexible: true }, { title: 'URL', flexible: true }, { title: 'STATE' }, { title: 'PUSHED', align: 'right' as const }, { title: '', flexible: true }]

export function registerMirrors (stack: Command, { act }: Kit): void {
  const remote = stack.command('remote').description('git remotes that hold a readable copy')
  remote.command('add').description('mirror a stack there; every device learns it, except of a folder').usage('<stack|--all> <url>').argument('<words...>', '<stack> <url>, or --all and <url>')
    .option('--all', 'every stack, those made later too').action(act(addRemote))
    .addHelpText('after', help('  elder-node stack remote add my-repo https://git.example.org/me/memory.git\n  elder-node stack remote add --all git@git.example.org:me/memory.git\n  elder-node stack remote add --all /mnt/usb/memory.git'))
  remote.command('list').description('every remote and its state').action(act(listRemotes)).addHelpText('after', help('  elder-node stack remote list'))
  remote.command('rm').description('mirror there no longer; what is there stays').usage('<stack|--all> <url>').argument('<words...>', '<stack> <url>, or --all and <url>')
    .option('--all', 'the remote of every stack').action(act(removeRemote))
    .addHelpText('after', help('  elder-node stack remote rm my-repo https://git.example.org/me/memory.git\n  elder-node stack remote rm --all git@git.example.org:me/memory.git'))
  remote.addHelpText('after', help('  elder-node stack remote add my-repo https://git.example.org/me/memory.git\n  elder-node stack remote list'))
  stack.command('sync').description('pull and push now').argument('[stack]', 'default: all of them').action(act(sync))
    .addHelpText('after', help('  elder-node stack sync\n  elder-node stack sync my-repo'))
  const restore = stack.command('restore').description('bring the stacks of a mirror back, as archived').argument('<url>').action(act(restoreAll))
    .addHelpText('after', help('  elder-node stack restore https://git.example.org/me/memory.git'))
  addLaterOptions(restore, ['--adopt'])
}

async function addRemote (context: Context, { all }: { all?: true }, words: string[]): Promise<void> {
  const { client, output, signal } = context
  const { stack, url } = remoteOf('add', all, words)
  const made = await client.call('stack.remote.add', { stack, url }, { signal })
  const names = (await client.call('stacks.list', { all: true }, { signal })).map(({ name }) => name)
  if (all !== true && !names.includes(stack)) output.warn(`there is no stack "${stack}" yet: its first entry makes it${meant(stack, names)}`)
  const told = { ...made, addedBy: authorJson(made.addedBy, await deviceNames(context)) }
  const reach = made.scope === 'device' ? ', a folder of this device: no other device hears of it' : ', by every device'
  output.answer('stack-remote', { remote: told }, () => `${what(made.stack)} will be mirrored to ${plain(made.url)}${reach}. Push now: elder-node stack sync`)
}

function meant (stack: string, names: string[]): string {
  const [near] = nearNames(stack, names)
  return near === undefined ? '' : ` (did you mean ${near}?)`
}

/** The copies stay: git is asked for nothing. */
async function removeRemote ({ client, output, signal }: Context, { all }: { all?: true }, words: string[]): Promise<void> {
  const gone = await client.call('stack.remote.rm', remoteOf('rm', all, words), { signal })
  output.answer('stack-remote-rm', { removed: gone }, () => `${what(gone.stack)} is no longer mirrored to ${plain(gone.url)}; what is there stays.`)
}

function what (stack: string): string { return stack === '--all' ? 'every stack' : plain(stack) }

function remoteOf (verb: string, all: true | undefined, words: string[]): { stack: string, url: string } {
  const [url, stack] = all === true ? [words[0], '--all'] : [words[1], words[0]]
  if (url === undefined || stack === undefined || words.length !== (all === true ? 1 : 2)) {
    throw new ElderError('USAGE', 'a stack and the URL of a git remote are needed', `elder-node stack remote ${verb} my-repo https://git.example.org/me/memory.git`)
  }
  if (all !== true && isUrl(stack) && !isUrl(url)) throw new ElderError('USAGE', 'the stack goes before the URL', `elder-node stack remote ${verb} ${url} ${stack}`)
  return { stack: all === true ? stack : stackNamed(stack), url }
}

/** No name of a stack has these. */
function isUrl (text: string): boolean { return /[:/]/.test(text) }

async function listRemotes (context: Context): Promise<void> {
  const { client, output, signal } = context
  const remotes = await client.call('stack.remote.list', {}, { signal })
  const known = await deviceNames(context)
  const words = (one: (typeof remotes)[number]): string => one.message ?? (one.scope === 'device' ? 'this device alone' : '')
  output.answer('stack-remotes', { remotes: remotes.map(remote => ({ ...remote, addedBy: authorJson(remote.addedBy, known) })) }, () => remotes.length === 0 ? 'no remotes yet: elder-node stack remote add <stack> <url>'
    : table(REMOTES, remotes.map((one) => [one.stack, one.url, one.state, ago(one.lastPush, Date.now()), words(one)]), output.paint, output.width).join('\n'))
}

async function sync (context: Context, _options: object, [stack]: string[]): Promise<number> {
  const { client, output, signal } = context
  const done = output.progress(`syncing ${stack ?? 'every stack'} with its remotes`)
  const results = await client.call('stack.sync', stack === undefined ? {} : { stack: stackNamed(stack) }, { signal }).catch(async (error: unknown) => {
    throw codeOf(error) === 'NO_REMOTE' && stack !== undefined ? await noRemote(context, stack) : error
  }).finally(done)
  output.answer('stack-sync', { results }, () => results.length === 0 ? 'nothing to sync: no stack yet' : results.flatMap((one) => rowOf(one, output)).join('\n'))
  return results.every(({ ok }) => ok) ? EXIT.ok : EXIT.error
}

/** A stack that is not there has no remote either: that is said first. */
async function noRemote ({ client, signal }: Context, stack: string): Promise<ElderError> {
  const names = (await client.call('stacks.list', {}, { signal })).map(({ name }) => name)
  if (names.includes(stack)) return new ElderError('NO_REMOTE', `the stack ${stack} has no remote`, `elder-node stack remote add ${stack} <git url>`)
  const meant = nearest(stack, names)
  return new ElderError('NO_SUCH_STACK', `there is no stack "${stack}" on this device`, meant === undefined ? 'elder-node stack list' : `elder-node stack sync ${meant}`)
}

function rowOf ({ ok, stack, url, commit, message }: Synced, { paint, width }: Output): string[] {
  const head = `${(ok ? paint('green', 'ok') : paint('red', 'failed'))}  ${plain(stack)}  ${plain(url)}${commit === null ? '' : `  ${commit.slice(0, 12)}`}`
  return message === null ? [head] : [head, ...wrap(`    ${plain(message)}`, width, '    ')]
}

async function restoreAll ({ client, output, signal }: Context, _options: object, [url = '']: string[]): Promise<void> {
  const done = output.progress('reading and verifying the mirror')
  const stacks = await client.call('stack.restore', { url }, { signal }).finally(done)
  output.answer('stack-restore', { stacks }, () => stacks.flatMap(one => [
    ...(one.digest === '' ? [`${plain(one.name)}: ${output.paint('red', 'not restored')}`] : [
      `${plain(one.name)}: ${one.entries} ${one.entries === 1 ? 'entry' : 'entries'}${one.archived ? ', archived' : ''}`,
      `  digest  ${one.digest}`, `  feeds   ${one.feeds}`,
    ]),
    ...renderProblems(one.problems, output.paint, output.width),
  ]).join('\n'))
}
