/**
 * The hidden `__complete <words…>`: what the shell may put in the place of the last word, one a line with a tab and what it is
 * about; `:files` asks the shell for file names. Fast and silent: no node, no answer within a second or a fault are no words.
 */
import type { Command } from 'commander'
import { resolve } from 'node:path'
import { ControlClient } from '../../control-client.ts'
import { locate } from '../../location.ts'
import { plain } from '../../render/units.ts'
import type { Io } from '../io.ts'
import { worktreeStack } from '../stack-name.ts'
import { askPlace } from '../stack-of.ts'
import { placeOf, type Wanted } from './place.ts'

interface Word { word: string, about: string }

const ANSWER_MS = 1000
const WORDS_MAX = 500
const ABOUT_CHARS = 60
/** Nothing that a shell would read as more than a word: these names come from other devices. */
const HARMLESS = /^[A-Za-z0-9._+/-]+$/

export async function complete (io: Io, words: string[], tree: (words: string[]) => Promise<Command>): Promise<number> {
  const current = words.at(-1) ?? ''
  try {
    const place = placeOf(await tree(words), words)
    const all = place.type === 'words' ? place.words : await known(io, words, place)
    const fitting = all.filter(({ word }) => word.startsWith(current) && HARMLESS.test(word)).slice(0, WORDS_MAX)
    for (const { word, about } of fitting) io.stdout.write(`${word}\t${plain(about).slice(0, ABOUT_CHARS).toWellFormed()}\n`)
    if (place.type === 'file') io.stdout.write(':files\n')
  } catch {
    // A completion that complains is worse than none.
  }
  return 0
}

async function known (io: Io, words: string[], place: Exclude<Wanted, { type: 'words' }>): Promise<Word[]> {
  if (place.type === 'setting') return (await import('../../../device-config/catalogue.ts')).SETTINGS.map(({ key, description }) => ({ word: key, about: description }))
  const dir = words[words.indexOf('--dir') + 1]
  const client = new ControlClient(locate(words.includes('--dir') && dir !== undefined ? resolve(io.cwd, dir) : undefined, io.env))
  const options = { signal: AbortSignal.timeout(ANSWER_MS) }
  switch (place.type) {
    case 'device': return (await client.call('devices', {}, options)).map(({ name, role, online }) => ({ word: name, about: `${role}, ${online ? 'online' : 'offline'}` }))
    case 'build': return (await client.call('builds.list', {}, options)).map(({ id, state, command }) => ({ word: id, about: `${state}: ${command.join(' ')}` }))
    case 'stack': return (await client.call('stacks.list', words.includes('--undo') ? { all: true } : {}, options)).map(({ name, entries }) => ({ word: name, about: `${entries} entries` }))
    case 'entry': return await entries(client, place.stack ?? (await askPlace({ client, ...options }, await worktreeStack(io.cwd))).stack, options)
    default: return []
  }
}

/** The newest of them. */
async function entries (client: ControlClient, stack: string, options: { signal: AbortSignal }): Promise<Word[]> {
  const words: Word[] = []
  for await (const { id, kind, title } of client.stream('stack.show', { stack }, options)) words.push({ word: id, about: `${kind}: ${title}` })
  return words.reverse()
}
