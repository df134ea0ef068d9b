/** Names of the contract that this version does not have yet: refused by name, never as "unknown". */
import { ElderError } from '@elder-node/protocol'
import { Option } from 'commander'
import type { Command } from 'commander'
import { VERSION } from '../../version.ts'

export const LATER_COMMANDS: string[] = [
  'bench', 'mcp', 'task', 'lock', 'msg', 'artifact', 'agent', 'pause', 'stop', 'dashboard', 'top',
]
export const LATER_STACK: string[] = ['recall', 'render', 'watch', 'import', 'export']

function notYet (what: string, instead: string = 'elder-node --help   (lists what this version has)'): ElderError {
  return new ElderError('NOT_IN_THIS_VERSION', `${what} is not in this version (${VERSION})`, instead)
}

/** Adds hidden commands that refuse, whatever follows them. */
export function addLaterCommands (parent: Command, names: string[]): void {
  for (const name of names) {
    parent.command(name, { hidden: true }).allowUnknownOption().allowExcessArguments().helpOption(false)
      .action(() => { throw notYet(`\`${path(parent)} ${name}\``) })
  }
}

/** Adds hidden options that refuse; help names them in one line. */
export function addLaterOptions (command: Command, flags: string[]): void {
  for (const flag of flags) {
    const option = new Option(flag, 'not in this version').hideHelp()
    command.addOption(option)
    command.on(`option:${option.name()}`, () => { throw notYet(`\`${option.long}\` of \`${path(command)}\``, `${path(command)} --help   (lists what this version has)`) })
  }
  command.addHelpText('after', `\nNot in this version: ${flags.map((flag) => flag.split(' ')[0]).join(', ')}`)
}

function path (command: Command): string {
  const names: string[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name())
  return names.join(' ')
}
