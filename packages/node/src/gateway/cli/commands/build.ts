/** `build`: run a command on the nearest free builder; its output, its files and its exit code come back. */
import { codeOf, ElderError } from '@elder-node/protocol'
import type { ControlParams } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { BuildEvent } from '../../../api.ts'
import { renderCandidates } from '../../render/build.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { buildParams, type BuildOptions } from '../build-flags.ts'
import { BuildPrinter } from '../build-printer.ts'
import { EXIT, exitCodeOf } from '../failure.ts'

const collect = (value: string, all: string[] = []): string[] => [...all, value]

export function register (command: Command, { act, rest }: Kit): void {
  command
    .argument('[dir]', 'folder to build; its whole worktree is sent', '.')
    .usage('[dir] [options] [-- <command…>]')
    .option('--out <glob>', 'bring these files back, relative to the tree root (repeatable)', collect)
    .option('--to <path>', 'where outputs are written (default: the source tree)')
    .option('--on <device>', 'this device and no other; offline: exit 125 at once')
    .option('--wait <duration>', 'wait so long for a builder: until --on is online, or somebody can build')
    .option('--image <ref>', 'run in this image, on builders that run images')
    .option('--sealed', 'no network for the command (--prepare has it); refused by process')
    .option('--exclusive', 'never two attempts at once: waits for the lease of a lost builder')
    .option('--prepare <command>', 'runs first in the tree; what it adds is kept for later builds')
    .option('--env <NAME>', 'pass this variable of the caller (repeatable)', collect)
    .option('--memory <size>', 'memory limit: 512m, 2g')
    .option('--cpus <n>', 'cores')
    .option('--deadline <duration>', 'end the build so long from now: 500ms, 15s, 10m (exit 124)')
    .option('--local <auto|never|only>', 'may this device build it? (default: auto)')
    .option('--explain', 'show every candidate and the terms, then run')
    .option('--dry-run', 'elect and explain, run nothing')
    .option('--detach', 'print the id and return; the build goes on while this node runs')
    .option('--strict-outputs', 'exit 1 when a glob of --out matches nothing')
    .option('--force', 'outputs replace whatever stands in their place')
    .addHelpText('after', `
Examples:
  elder-node build . -- npm test
  elder-node build --prepare 'npm ci' --out 'dist/**' -- npm run build
  elder-node build ~/kernel --on mini --memory 2g --deadline 10m -- make -j4
  elder-node build --image node:24 --sealed -- node --test
  elder-node build --on mini --wait 10m --detach -- make
  elder-node build --dry-run -- true

A file of the source tree that changed after it was sent is not replaced: the
output stands beside it as <name>.from-<builder>, and a warning names both.

Without a command, .elder.json at the root of the tree says what to build;
flags go before it:
  {"build":{"image":"node:24","prepare":"npm ci","command":["npm","test"],
    "outputs":["dist/**"],"needs":{"platform":"linux/x64","memory":"2g"}}}
The image is that of --image, else .elder.json, else (where a builder runs
images) .devcontainer/devcontainer.json, else the builder's own.
--timeout is this command's patience: it then cancels the build, exit 6.

TRACEPARENT (W3C) of this command is gone on with: one trace id in the events,
in the logs of every device, and in the build's own TRACEPARENT.

The command's exit code is passed on; 124 deadline, 125 the mesh could not run
it, 130 cancelled (Ctrl-C, or the reader of the output left: | head -1).`)
    .action(act(async (context, options: BuildOptions, args) => await run(context, buildParams(context, options, args[0] ?? '.', rest), options)))
}

/** The first Ctrl-C cancels the build and waits for its end; the second one leaves. */
async function run (context: Context, params: ControlParams<'build'>, options: BuildOptions): Promise<number> {
  const { client, output, signal, io } = context
  const printer = new BuildPrinter(output, { explain: options.explain === true, io })
  let id: string | undefined
  let cancelled = false
  const leave = new AbortController()
  context.takeInterrupts((count) => {
    cancelled = true
    if (count > 1 || id === undefined) return count > 1 ? io.exit(EXIT.cancelled) : leave.abort(new ElderError('CANCELLED', 'cancelled'))
    output.note('cancelling the build; Ctrl-C again leaves at once')
    client.call('builds.cancel', { id }, { signal }).catch(() => leave.abort(new ElderError('CANCELLED', 'cancelled')))
  })
  // A reader of the output that leaves takes the build with it: `build … | head -1` must not look like a success.
  if (options.detach !== true && options.dryRun !== true) io.onUnread(EXIT.cancelled)
  try {
    for await (const event of client.stream('build', params, { signal: AbortSignal.any([signal, leave.signal]) })) {
      id = event.build
      if (options.detach === true && event.event !== 'result') return detached(context, id)
      if (options.dryRun === true && event.event === 'elected') return explainOnly(context, event)
      if (options.dryRun !== true || event.event === 'result') printer.print(event)
      if (event.event === 'result') io.onUnread(printer.exitCode)
    }
  } catch (error) {
    return fail(printer, error, cancelled)
  } finally {
    printer.close()
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
  printer.fail(code === EXIT.timeout ? gaveUp(error) : error)
  return code === EXIT.usage || code === EXIT.timeout || code === EXIT.cancelled ? code : EXIT.buildImpossible
}

/** `--timeout` is the command's patience, `--deadline` the build's time. */
function gaveUp (error: unknown): unknown {
  if (codeOf(error) !== 'TIMEOUT') return error
  return new ElderError('TIMEOUT', `${(error as Error).message}: the build had not ended within --timeout, and is cancelled`, 'Give it longer, leave --timeout out, or let it go on without this command: --detach. --deadline ends a build with 124.')
}
