/** What is said of words that no command takes: what was probably meant and the line to type instead. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Command, CommanderError } from 'commander'
import { nearest } from '../../device-config/nearest.ts'

export interface Typed {
  /** All words before `--`. */
  words: readonly string[]
  /** Whether there was a `--`. */
  dashes: boolean
  cwd: string
  /** The command whose words were wrong, by its whole name, and itself; undefined where no command was reached. */
  path: string
  command: Command | undefined
}

interface Said { message: string, fix?: string | undefined }

export function usageError (error: CommanderError, typed: Typed): ElderError {
  const text = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
  const { message, fix } = said(error.code, text, typed)
  return new ElderError('USAGE', message, fix ?? `${typed.path} --help   (shows what it takes, with examples)`)
}

function said (code: string, text: string, typed: Typed): Said {
  const { command, path, words } = typed
  const args = command?.args ?? []
  if (text === '(outputHelp)') return nothingMeant(typed)
  if (code === 'commander.unknownCommand' && words[0] === 'version') return { message: text, fix: 'elder-node --version' }
  if (code === 'commander.excessArguments' && command !== undefined) return tooMany(text, args, { ...typed, command })
  if (code === 'commander.missingArgument' && path === 'elder-node config set' && args[0]?.includes('=') === true) return { message: 'a setting and its value are two words', fix: `${path} ${args[0].replace('=', ' ')}` }
  if (code === 'commander.unknownOption' && path === 'elder-node build' && !typed.dashes) return { message: text, fix: 'Options of the command go behind --: elder-node build . -- npm test   (ours: elder-node build --help)' }
  return { message: text }
}

/** Help that nobody asked for: a name is missing, or `help` was given a wrong one. */
function nothingMeant ({ words: [first, asked], path, command }: Typed): Said {
  if (first === 'help' && asked !== undefined) return { message: `unknown command '${asked}'`, fix: 'elder-node help' }
  if (command === undefined) return { message: 'a command is needed', fix: 'elder-node --help   (shows them; --version shows the version)' }
  return { message: `${path} needs one of: ${namesBelow(command).join(', ')}` }
}

function tooMany (text: string, args: readonly string[], typed: Typed & { command: Command }): Said {
  const { command, path } = typed
  const [first = ''] = args
  if (path === 'elder-node build') return { message: text, fix: behindDashes(args, typed) }
  const below = namesBelow(command)
  if (below.length > 0) {
    const meant = nearest(first, below)
    const unknown = `unknown command '${first}'`
    if (meant !== undefined) return { message: `${unknown} (Did you mean ${meant}?)`, fix: [path, meant, ...args.slice(1)].join(' ') }
    return { message: unknown, fix: path === 'elder-node builds' ? `elder-node builds logs ${first}   (or attach, cancel, why)` : undefined }
  }
  const flag = nearest(first, command.createHelp().visibleOptions(command).map(option => option.name()))
  return flag === undefined ? { message: text } : { message: `${text} Did you mean --${flag}?` }
}

/** `build --on mini npm test`, as it had to be typed. */
function behindDashes (args: readonly string[], { words, cwd }: Typed): string {
  const hasDir = existsSync(resolve(cwd, args[0] ?? ''))
  const at = words.indexOf(args[hasDir ? 1 : 0] ?? '', words.indexOf('build') + 1)
  const line = ['elder-node', ...words.slice(0, at), ...hasDir ? [] : ['.'], '--', ...words.slice(at)].map(quoted).join(' ')
  return `Write the command behind --: ${line}`
}

function quoted (word: string): string { return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'` }

function namesBelow (command: Command): string[] {
  return command.createHelp().visibleCommands(command).map(one => one.name()).filter(name => name !== 'help')
}
