/** The command line: finds the command, loads it alone, runs it, answers with an exit code. */
import { Command, CommanderError } from 'commander'
import { complete } from './completion/complete.ts'
import { addGlobals, guessFlags, readGlobals } from './globals.ts'
import { createContext } from './context.ts'
import type { CommandModule, Handler, Kit } from './command.ts'
import { explainCode } from './explain.ts'
import { exitCodeOf, printFailure } from './failure.ts'
import type { Io } from './io.ts'
import { LATER_COMMANDS, addLaterCommands } from './later.ts'
import { Output } from './output.ts'
import { usageError } from './usage.ts'
import { VERSION } from '../../version.ts'

interface Entry { name: string, usage: string, summary: string, group: string, load: () => Promise<CommandModule> }

const COMMANDS: Entry[] = [
  { name: 'join', usage: '[ticket]', summary: 'join or found a mesh; runs this node', group: 'Start', load: () => import('./commands/join.ts') },
  { name: 'invite', usage: '', summary: 'a ticket for another device', group: 'Start', load: () => import('./commands/invite.ts') },
  { name: 'demo', usage: '', summary: 'the whole story on this machine', group: 'Start', load: () => import('./commands/demo.ts') },
  { name: 'status', usage: '', summary: 'devices, builds, memory, problems', group: 'Look', load: () => import('./commands/status.ts') },
  { name: 'devices', usage: '', summary: 'the devices of the mesh', group: 'Look', load: () => import('./commands/devices.ts') },
  { name: 'ping', usage: '<device>', summary: 'round trips to a device, and the path', group: 'Look', load: () => import('./commands/ping.ts') },
  { name: 'doctor', usage: '', summary: 'what is wrong here, and how to fix it', group: 'Look', load: () => import('./commands/doctor.ts') },
  { name: 'builds', usage: '', summary: 'builds: list, logs, attach, cancel, why', group: 'Look', load: () => import('./commands/builds.ts') },
  { name: 'build', usage: '[dir] -- <command…>', summary: 'run a command on the nearest free builder', group: 'Work', load: () => import('./commands/build.ts') },
  { name: 'stack', usage: '', summary: 'the shared memory: add, show, edit, mirror, restore', group: 'Work', load: () => import('./commands/stack.ts') },
  { name: 'leave', usage: '', summary: 'this device leaves the mesh and forgets it', group: 'Start', load: () => import('./commands/leave.ts') },
  { name: 'config', usage: '', summary: 'what this device is set to: list, get, set, unset', group: 'Setup', load: () => import('./commands/config.ts') },
  { name: 'completion', usage: '<shell>', summary: 'Tab completion for bash, zsh, fish', group: 'Setup', load: () => import('./commands/completion.ts') },
  { name: 'image', usage: '', summary: 'what builds run in here: build, list', group: 'Setup', load: () => import('./commands/image.ts') },
  { name: 'evict', usage: '<device>', summary: 'remove a device from the mesh, for ever', group: 'Setup', load: () => import('./commands/evict.ts') },
  { name: 'service', usage: '', summary: 'start at boot: install, status, remove', group: 'Setup', load: () => import('./commands/service.ts') },
]

const EXAMPLES = `
Examples:
  elder-node join                                first device: founds a mesh
  elder-node invite                              a ticket for the next device
  elder-node build . -- npm test                 on the nearest free device
  elder-node stack add --kind note --title "…"   remembered on every device

Exit codes: 0 ok, 1 error, 2 usage, 3 no mesh here yet, 4 node not running,
5 degraded (--check), 6 timeout. \`build\` passes the command's own; 124 deadline,
125 the mesh could not run it, 130 cancelled.`

/** Runs one command line (without `node` and the script). Never throws. */
export async function runCli (argv: string[], io: Io): Promise<number> {
  if (argv[0] === '__complete') return await complete(io, argv.slice(1), (words) => commandTree(io, words))
  const explained = argv[0] === 'help' ? await explainCode(io, argv) : undefined
  if (explained !== undefined) return explained
  const at = argv.indexOf('--')
  const words = at < 0 ? argv : argv.slice(0, at)
  const rest = at < 0 ? undefined : argv.slice(at + 1)
  const state: State = { code: 0, output: undefined, path: 'elder-node', command: undefined }
  const program = createProgram(io)
  try {
    await addCommands(program, words, createKit(io, rest, state), state)
    if (words.length === 0) { io.stdout.write(program.helpInformation() + EXAMPLES + '\n'); return 0 }
    await program.parseAsync(words, { from: 'user' })
    return state.code
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const failure = error instanceof CommanderError ? usageError(error, { ...state, words, dashes: rest !== undefined, cwd: io.cwd }) : error
    printFailure(state.output ?? new Output(io, guessFlags(words)), failure)
    return state.code === 0 ? exitCodeOf(failure) : state.code
  }
}

interface State {
  code: number
  output: Output | undefined
  /** The command whose words were wrong. */
  path: string
  command: Command | undefined
}

function createProgram (io: Io): Command {
  const program = new Command('elder-node')
    .description('Your devices as one build farm and one memory for coding agents.')
    .version(VERSION, '-V, --version')
    .enablePositionalOptions()
    .exitOverride()
    // Errors are printed by printFailure, in the form that was asked for.
    .configureOutput({ writeOut: (text) => { io.stdout.write(text) }, writeErr: () => {} })
    .addHelpText('after', EXAMPLES)
  return addGlobals(program, { hidden: false })
}

/** The commands without anything behind them, the one that is meant with all that is below it: to be read, not run. */
export async function commandTree (io: Io, words: string[]): Promise<Command> {
  const program = createProgram(io)
  const state: State = { code: 0, output: undefined, path: 'elder-node', command: undefined }
  await addCommands(program, words, createKit(io, undefined, state), state)
  return program
}

/** Only the command that is meant is loaded; the others are there for the help. */
async function addCommands (program: Command, words: string[], kit: Kit, state: State): Promise<void> {
  const meant = firstWord(words)
  for (const { name, usage, summary, group, load } of COMMANDS) {
    const command = program.command(name).description(summary).helpGroup(`${group}:`)
    if (name !== meant) { command.usage(usage); continue }
    ;(await load()).register(command, kit)
    finish(command, `elder-node ${name}`, state)
  }
  addLaterCommands(program, LATER_COMMANDS)
}

/** What every command has, and every one below it: the global flags, and a name for its errors. */
function finish (command: Command, path: string, state: State): void {
  addGlobals(command, { hidden: true })
  command.enablePositionalOptions().exitOverride((error) => {
    Object.assign(state, { path, command })
    throw error
  })
  for (const child of command.commands) finish(child, `${path} ${child.name()}`, state)
}

/** The first word that is neither a flag nor the value of one. */
function firstWord (words: string[]): string | undefined {
  const valued = new Set(['--dir', '--as', '--timeout'])
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (valued.has(word)) i++
    else if (!word.startsWith('-')) return word === 'help' ? words[i + 1] : word
  }
  return undefined
}

function createKit (io: Io, rest: string[] | undefined, state: State): Kit {
  return {
    rest,
    act: (handler, how = {}) => async (...given) => {
      const command = given.at(-1) as Command
      const globals = readGlobals(command)
      state.output = new Output(io, globals)
      const context = createContext(io, globals, state.output, { bounded: how.unbounded !== true })
      const began = io.nowMs()
      try {
        state.code = await (handler as Handler<unknown>)(context, command.opts(), command.args) ?? 0
      } finally {
        context.dispose()
        if (globals.verbose) state.output.note(`${command.name()}: ${Math.round(io.nowMs() - began)} ms, data directory ${context.location.dir}`)
      }
    },
  }
}
