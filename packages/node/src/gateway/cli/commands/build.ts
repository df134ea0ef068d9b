/** `build`: run a command on the nearest free builder; its output, its files and its exit code come back. */
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { ControlParams } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { BuildEvent } from '../../../api.ts'
import { renderCandidates } from '../../render/build.ts'
import { parseCount, parseWait, parseSize } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { BuildPrinter } from '../build-printer.ts'
import { EXIT, exitCodeOf } from '../failure.ts'
import { addLaterOptions } from '../later.ts'

interface Options {
  out?: string[], to?: string, on?: string, prepare?: string, env?: string[], memory?: string, cpus?: string, deadline?: string
  local?: string, dryRun?: true, explain?: true, strictOutputs?: true, detach?: true
}

const collect = (value: string, all: string[] = []): string[] => [...all, value]

export function register (command: Command, { act, rest }: Kit): void {
  command
    .argument('[dir]', 'folder to build; its whole worktree is sent', '.')
    .usage('[dir] [options] -- <command…>')
    .option('--out <glob>', 'bring these files back, relative to the tree root (repeatable)', collect)
    .option('--to <path>', 'where outputs are written (default: the source tree)')
    .option('--on <device>', 'this device and no other')
    .option('--prepare <command>', 'runs first in the tree; what it adds is kept for later builds')
    .option('--env <NAME>', 'pass this variable of the caller (repeatable)', collect)
    .option('--memory <size>', 'memory limit: 512m, 2g')
    .option('--cpus <n>', 'cores')
    .option('--deadline <duration>', 'kill the build after 500ms, 15s, 10m (exit 124)')
    .option('--local <auto|never|only>', 'may this device build it? (default: auto)')
    .option('--explain', 'show every candidate and the terms, then run')
    .option('--dry-run', 'elect and explain, run nothing')
    .option('--detach', 'print the id and return; follow with: elder-node builds attach <id>')
    .option('--strict-outputs', 'exit 1 when a glob of --out matches nothing')
    .addHelpText('after', `
Examples:
  elder-node build . -- npm test
  elder-node build --prepare 'npm ci' --out 'dist/**' -- npm run build
  elder-node build ~/kernel --on mini --memory 2g --deadline 10m -- make -j4
  elder-node build --dry-run -- true

The command's exit code is passed on; 124 deadline, 125 the mesh could not run it, 130 cancelled (Ctrl-C).`)
    .action(act(async (context, options: Options, args) => await run(context, paramsOf(context, options, args[0] ?? '.', rest), options)))
  addLaterOptions(command, ['--image <ref>', '--sealed', '--exclusive', '--wait <duration>'])
}

/** @throws ElderError `USAGE` */
function paramsOf ({ io, agent, output }: Context, options: Options, dir: string, rest: string[] | undefined): ControlParams<'build'> {
  if (rest === undefined || rest.length === 0) throw new ElderError('USAGE', 'the command to run is missing', 'Write it behind --: elder-node build . -- npm test')
  const { out, to, on, prepare, env, memory, cpus, deadline, local, dryRun, strictOutputs, detach } = options
  if (detach === true && dryRun === true) throw new ElderError('USAGE', '--dry-run runs nothing that could be detached', 'Give one of the two.')
  if (local !== undefined && !['auto', 'never', 'only'].includes(local)) throw new ElderError('USAGE', `"${local}" is not a value of --local`, 'Use auto, never or only.')
  return {
    source: resolve(io.cwd, dir), command: rest, ...agent,
    ...given('outputs', out), ...parsed('to', to, (path) => resolve(io.cwd, path)), ...given('on', on), ...given('prepare', prepare),
    ...given('env', env === undefined ? undefined : environment(env, io.env, (name) => output.warn(`--env ${name}: not set here, so the build does not get it`))),
    ...parsed('memoryBytes', memory, parseSize), ...parsed('cpus', cpus, (text) => parseCount(text, { min: 0.01, integer: false })),
    ...parsed('deadlineMs', deadline, parseWait), ...given('local', local as 'auto' | 'never' | 'only' | undefined),
    ...given('dryRun', dryRun), ...given('strictOutputs', strictOutputs), ...given('detach', detach),
  }
}

function given<K extends string, T> (key: K, value: T | undefined): { [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: T }
}

function parsed<K extends string, T> (key: K, text: string | undefined, parse: (text: string) => T): { [P in K]?: T } {
  return given(key, text === undefined ? undefined : parse(text))
}

function environment (names: string[], env: NodeJS.ProcessEnv, missing: (name: string) => void): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new ElderError('USAGE', `--env takes the name of a variable, not "${name.split('=')[0]}=…": values in arguments can be read by every user`, `Set it, then pass its name: ${name.split('=')[0]}=… elder-node build --env ${name.split('=')[0]} …`)
    const value = env[name]
    if (value === undefined) missing(name)
    else passed[name] = value
  }
  return passed
}

/** The first Ctrl-C cancels the build and waits for its end; the second one leaves. */
async function run (context: Context, params: ControlParams<'build'>, options: Options): Promise<number> {
  const { client, output, signal, io } = context
  const printer = new BuildPrinter(output, { explain: options.explain === true })
  let id: string | undefined
  let cancelled = false
  const leave = new AbortController()
  context.takeInterrupts((count) => {
    cancelled = true
    if (count > 1 || id === undefined) return count > 1 ? io.exit(EXIT.cancelled) : leave.abort(new ElderError('CANCELLED', 'cancelled'))
    output.note('cancelling the build; Ctrl-C again leaves at once')
    client.call('builds.cancel', { id }, { signal }).catch(() => leave.abort(new ElderError('CANCELLED', 'cancelled')))
  })
  try {
    for await (const event of client.stream('build', params, { signal: AbortSignal.any([signal, leave.signal]) })) {
      id = event.build
      if (options.detach === true && event.event !== 'result') return detached(context, id)
      if (options.dryRun === true && event.event === 'elected') return explainOnly(context, event)
      if (options.dryRun !== true || event.event === 'result') printer.print(event)
    }
  } catch (error) {
    return fail(printer, error, cancelled)
  }
  return cancelled ? EXIT.cancelled : printer.exitCode
}

/** The build goes on without this command. */
function detached ({ output }: Context, build: string): number {
  output.answer('build', { event: 'detached', build }, () => build)
  output.note(`follow it: elder-node builds attach ${build.slice(0, 8)}`)
  return EXIT.ok
}

function explainOnly ({ output }: Context, event: Extract<BuildEvent, { event: 'elected' }>): number {
  output.answer('build', event, () => [...renderCandidates(event.candidates, event.builder.id, output.paint), event.why].join('\n'))
  return EXIT.ok
}

/** Usage errors and time-outs keep their numbers; whatever else kept the mesh from running the build is 125. */
function fail (printer: BuildPrinter, error: unknown, cancelled: boolean): number {
  const code = cancelled ? EXIT.cancelled : exitCodeOf(error)
  printer.fail(error)
  return code === EXIT.usage || code === EXIT.timeout || code === EXIT.cancelled ? code : EXIT.buildImpossible
}
