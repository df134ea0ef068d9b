/** The page of the command line, from commander's own programs: what `--help` prints cannot differ from it. */
import { PassThrough } from 'node:stream'
import type { Command } from 'commander'
import { ERRORS } from '../../packages/node/src/errors/catalogue.ts'
import { exitCodeOf } from '../../packages/node/src/gateway/cli/failure.ts'
import type { Io } from '../../packages/node/src/gateway/cli/io.ts'
import { commandTree } from '../../packages/node/src/gateway/cli/main.ts'
import { code, fence, page, table } from './markdown.ts'

const EXITS: Array<[exit: string, meaning: string]> = [
  ['0', 'ok'], ['1', 'any other error'], ['2', 'usage'], ['3', 'no mesh here yet'], ['4', 'the node is not running'], ['5', 'degraded: `status --check` found a problem'], ['6', 'timeout'],
  ['124', '`build`: the deadline'], ['125', '`build`: the mesh could not run it'], ['130', 'cancelled'],
]

/** Every command below the program, loaded, with its path. */
export async function allCommands (): Promise<{ program: Command, commands: Array<{ path: string, command: Command }> }> {
  const program = await commandTree(silentIo(), [])
  const loaded = await Promise.all(program.commands.filter(isShown).map(async command => {
    const tree = await commandTree(silentIo(), [command.name()])
    return tree.commands.find(one => one.name() === command.name()) as Command
  }))
  return { program, commands: loaded.flatMap(command => below(command, '')) }
}

export async function cliPage (): Promise<string> {
  const { program, commands } = await allCommands()
  const codesOf = (exit: string): string => Object.keys(ERRORS).filter(known => ERRORS[known]?.kinds.includes('error') && exit !== '1' && String(exitCodeOf({ code: known })) === exit).map(code).join(', ')
  return page('Command line',
    `${program.description()} \`elder-node <command> --help\` prints the same.`,
    '## For every command', 'Before or after the command.', flagsOf(program),
    '## Exit codes', table(['exit', 'means', 'codes'], EXITS.map(([exit, meaning]) => [exit, meaning, codesOf(exit)])),
    'A build passes the exit code of its command. With `--json` an error is `{"schema", "error": {"code", "message", "fix"}}` on stdout; [errors.md](errors.md) has every code, [json.md](json.md) every document.',
    ...commands.map(section))
}

function section ({ path, command }: { path: string, command: Command }): string {
  const help = command.createHelp()
  const isGroup = command.commands.length > 0 && command.registeredArguments.length === 0
  return [
    `## ${path}`, help.commandDescription(command) + (isGroup ? ` (${command.commands.filter(isShown).map(child => child.name()).join(', ')})` : ''),
    fence(`elder-node ${path} ${command.usage()}`),
    command.registeredArguments.length === 0 ? '' : table(['argument', ''], command.registeredArguments.map(argument => [code(help.argumentTerm(argument)), help.argumentDescription(argument)])),
    flagsOf(command), fence(afterHelp(command)),
  ].filter(part => part !== '' && part !== fence('')).join('\n\n')
}

function flagsOf (command: Command): string {
  const options = command.options.filter(option => !option.hidden)
  return options.length === 0 ? '' : table(['flag', ''], options.map(option => [code(option.flags), option.description]))
}

/** What stands below the flags in `--help`: notes and examples. */
function afterHelp (command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: part => { text += part } }).outputHelp()
  return text.slice(command.helpInformation().length)
}

function below (command: Command, parent: string): Array<{ path: string, command: Command }> {
  const path = parent === '' ? command.name() : `${parent} ${command.name()}`
  return [{ path, command }, ...command.commands.filter(isShown).flatMap(child => below(child, path))]
}

function isShown (command: Command): boolean { return !(command as Command & { _hidden?: boolean })._hidden && command.name() !== 'help' }

/** Commands are read here, never run. */
function silentIo (): Io {
  const stream = (): PassThrough => new PassThrough().resume()
  return {
    stdin: stream(), stdout: stream(), stderr: stream(), env: {}, cwd: '/', onInterrupt: () => () => {}, onFault: () => () => {}, nowMs: () => 0, exit: () => {},
    onUnread: () => {}, nodeFactory: () => { throw new Error('the reference starts no node') },
  }
}
