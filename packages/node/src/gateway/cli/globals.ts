/** The flags that stand before or after any command. */
import { Option } from 'commander'
import type { Command } from 'commander'
import { parseWait } from '../../quantities.ts'

export interface Globals {
  dir?: string
  json: boolean
  as?: string
  color: boolean
  input: boolean
  timeoutMs?: number
  quiet: boolean
  verbose: boolean
}

/** On the program they are shown; on each command they are repeated, hidden, so that an option's own value is never mistaken for one. */
export function addGlobals (command: Command, { hidden }: { hidden: boolean }): Command {
  const options = [
    new Option('--dir <path>', 'data directory (default: ELDER_NODE_DIR, else the XDG state directory)'),
    new Option('--json', 'one JSON document, or one per line where there is a stream'),
    new Option('--as <agent>', 'the agent that acts (default: ELDER_AGENT)'),
    new Option('--no-color', 'no colours (also NO_COLOR)'),
    new Option('--no-input', 'never ask, not even on a terminal'),
    new Option('--timeout <duration>', 'give up after 500ms, 15s, 10m'),
    new Option('-q, --quiet', 'no progress on stderr; lists print ids alone'),
    new Option('-v, --verbose', 'details on stderr'),
  ]
  for (const option of options) command.addOption(hidden ? option.hideHelp() : option)
  return command
}

/** What the caller wrote, nearest to the command first. */
export function readGlobals (command: Command): Globals {
  const given = (name: string): unknown => {
    for (let at: Command | null = command; at !== null; at = at.parent) {
      if (at.getOptionValueSource(name) === 'cli') return at.getOptionValue(name)
    }
    return undefined
  }
  const dir = given('dir') as string | undefined
  const agent = given('as') as string | undefined
  const timeout = given('timeout') as string | undefined
  return {
    ...(dir === undefined ? {} : { dir }), ...(agent === undefined ? {} : { as: agent }),
    ...(timeout === undefined ? {} : { timeoutMs: parseWait(timeout) }),
    json: given('json') === true, color: given('color') !== false, input: given('input') !== false,
    quiet: given('quiet') === true, verbose: given('verbose') === true,
  }
}

/** The same, for errors that happen before a command is known: by looking at the words alone. */
export function guessFlags (argv: string[]): { json: boolean, color: boolean, quiet: boolean, verbose: boolean } {
  return { json: argv.includes('--json'), color: !argv.includes('--no-color'), quiet: false, verbose: argv.includes('-v') || argv.includes('--verbose') }
}
