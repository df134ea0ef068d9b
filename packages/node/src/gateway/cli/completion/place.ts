/** Where a command line stands that is being typed: which command, and what its next word is. Pure. */
import type { Command, Option } from 'commander'

/** What the next word can be: one of these, something that the node knows, or a file. */
export type Wanted = { type: 'words', words: Array<{ word: string, about: string }> } | { type: 'device' | 'build' | 'stack' | 'setting' | 'file' | 'nothing' } | { type: 'entry', stack: string | undefined }

const KINDS = ['note', 'decision', 'task', 'skill']
/** Values of options that are no choices of commander's, by long flag. */
const VALUES: Record<string, Wanted['type'] | string[]> = {
  '--role': ['observer', 'member', 'builder', 'admin'], '--kind': KINDS, '--local': ['auto', 'never', 'only'], '--engine': ['auto', 'docker', 'podman', 'sandbox', 'process', 'none'],
  '--on': 'device', '--all-of': 'stack', '--entry': 'entry', '--supersedes': 'entry', '--dir': 'file', '--to': 'file', '--ticket-file': 'file', '--save-recovery': 'file', '--recovery-file': 'file', '--relay': ['yes', 'no'],
}
/** Arguments by the name they have in the help, where the name says it all. */
const ARGUMENTS: Record<string, Wanted['type'] | string[]> = { device: 'device', stack: 'stack', dir: 'file', path: 'file', key: 'setting', shell: ['bash', 'zsh', 'fish'] }

/** `words`: the line after the program's name, its last one being typed (perhaps empty). */
export function placeOf (program: Command, words: string[]): Wanted {
  const before = words.slice(0, -1)
  const current = words.at(-1) ?? ''
  // Behind -- stands somebody else's command.
  if (before.includes('--')) return { type: 'file' }
  const { command, given, open } = walk(program, before)
  if (open !== undefined) return valueOf(open, given)
  if (current.startsWith('-')) return flags(program, command)
  const below = visible(command).filter(({ name }) => name !== 'help')
  if (below.length > 0 && given.length === 0) return { type: 'words', words: below.map(({ name, about }) => ({ word: name, about })) }
  return argument(command, given)
}

/** `open`: the option whose value is being typed. `given`: words that are neither commands nor options. */
function walk (program: Command, words: string[]): { command: Command, given: string[], open: Option | undefined } {
  let command = program
  let open: Option | undefined
  const given: string[] = []
  for (const word of words) {
    if (open !== undefined) { open = undefined; continue }
    const option = [...command.options, ...program.options].find(({ long, short }) => word === long || word === short)
    const child = given.length > 0 ? undefined : command.commands.find((one) => one.name() === word)
    if (option?.required === true) open = option
    else if (child !== undefined) command = child
    else if (!word.startsWith('-')) given.push(word)
  }
  return { command, given, open }
}

function visible (command: Command): Array<{ name: string, about: string }> {
  return command.createHelp().visibleCommands(command).map((one) => ({ name: one.name(), about: one.description() }))
}

function flags (program: Command, command: Command): Wanted {
  const all = [command, program].flatMap((one) => one.createHelp().visibleOptions(one))
  const words = all.flatMap(({ long, description }) => long === undefined || long === null ? [] : [{ word: long, about: description }])
  return { type: 'words', words: [...new Map(words.map((one) => [one.word, one])).values()] }
}

function valueOf ({ long, argChoices }: Option, given: string[]): Wanted {
  return wanted(argChoices ?? VALUES[long ?? ''] ?? 'nothing', given)
}

function argument (command: Command, given: string[]): Wanted {
  const path = pathOf(command)
  const entry: Wanted = { type: 'entry', stack: given.at(-1) }
  // [stack] <id>: the usage says what the words are.
  if (/^stack (show|edit|rm)$/.test(path)) return given.length === 0 ? { type: 'stack' } : given.length === 1 ? entry : { type: 'nothing' }
  if (/^stack (search|remote add|remote rm)$/.test(path)) return { type: given.length === 0 ? 'stack' : 'nothing' }
  const { registeredArguments } = command
  const next = registeredArguments[given.length] ?? (registeredArguments.at(-1)?.variadic === true ? registeredArguments.at(-1) : undefined)
  if (next === undefined) return { type: 'nothing' }
  if (next.argChoices !== undefined) return wanted(next.argChoices, given)
  if (path.startsWith('builds ') && next.name() === 'id') return { type: 'build' }
  return wanted(ARGUMENTS[next.name()] ?? 'nothing', given)
}

function wanted (what: Wanted['type'] | readonly string[], given: string[]): Wanted {
  if (typeof what !== 'string') return { type: 'words', words: what.map((word) => ({ word, about: '' })) }
  if (what === 'entry') return { type: 'entry', stack: given[0] }
  return what === 'words' ? { type: 'nothing' } : { type: what }
}

function pathOf (command: Command): string {
  const names: string[] = []
  for (let at: Command | null = command; at?.parent != null; at = at.parent) names.unshift(at.name())
  return names.join(' ')
}
