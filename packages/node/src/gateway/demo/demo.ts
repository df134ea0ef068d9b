/**
 * The whole story on one machine: three devices, a build, a lost builder, a shared memory, every host destroyed and the memory
 * brought back. A client like any other: it runs the public commands as child processes and believes only what they print.
 */
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageRoot } from '../../package-root.ts'
import type { GitServer } from '@elder-node/crdt-stack/git'
import type { Context } from '../cli/context.ts'
import { EXIT, printFailure } from '../cli/failure.ts'
import { milliseconds, plain } from '../render/units.ts'
import { Children } from './children.ts'
import { DemoDevice } from './device.ts'
import { chooseProject } from './project.ts'
import type { Project } from './project.ts'
import { buildStep } from './step-build.ts'
import { joinStep } from './step-join.ts'
import { mirrorStep } from './step-mirror.ts'
import { moveStep } from './step-move.ts'
import { notesStep } from './step-notes.ts'
import { rejoinStep, restoreStep } from './step-restore.ts'
import { Story } from './story.ts'
import type { World } from './world.ts'

/** For another terminal: the same program under the same Node, wherever a person stands and whatever their PATH has. */
const ALIAS = `alias elder-node='${process.execPath} ${fileURLToPath(new URL('bin/elder-node.js', packageRoot))}'`

/** Answers 0 when every step held, 1 when one did not, 130 at Ctrl-C. */
export async function runDemo (context: Context, { exit }: { exit?: true }): Promise<number> {
  const interrupted = new AbortController()
  context.takeInterrupts((count) => count > 1 ? context.io.exit(EXIT.cancelled) : interrupted.abort())
  const temp = await mkdtemp(join(tmpdir(), 'elder-demo-'))
  const removeTemp = (): void => rmSync(temp, { recursive: true, force: true, maxRetries: 3 })
  const children = new Children(context.io.env)
  // After the handler of the children, which kills them: the second Ctrl-C leaves nothing behind either.
  process.once('exit', removeTemp)
  const devices = ([['laptop', 0], ['mini', 2], ['pi', 1]] as const).map(([name, slots]) => new DemoDevice(children, temp, name, slots))
  const world: World = { temp, children, devices, story: new Story(context.output), signal: interrupted.signal }
  let remote: GitServer | undefined
  try {
    const { serveGit } = await import('@elder-node/crdt-stack/git')
    await mkdir(join(temp, 'remotes'))
    remote = await serveGit({ root: join(temp, 'remotes') })
    const told = await tell(world, await remote.create('memory.git'))
    if (exit !== true) await stayUp(context, world, told)
    return EXIT.ok
  } catch (error) {
    if (interrupted.signal.aborted) return EXIT.cancelled
    fail(context, world, error)
    return EXIT.error
  } finally {
    await children.stop()
    await remote?.close()
    process.off('exit', removeTemp)
    removeTemp()
  }
}

async function tell (world: World, url: string): Promise<{ stack: string, project: Project }> {
  const { story } = world
  const started = performance.now()
  const project = await chooseProject(world.temp)
  story.say(`${story.paint('bold', 'elder-node demo')}: three devices of one owner, as processes of this machine.`)
  story.say(story.dim(`Builds run without isolation (process engine), opted in by this demo.\nData below ${world.temp}`))
  await story.step('join', 'three devices become one mesh', () => joinStep(world))
  await story.step('build', project.title, () => buildStep(world, project))
  let killed: DemoDevice | undefined
  await story.step('move', 'the builder dies in the middle of a build', async () => {
    const moved = await moveStep(world, project)
    killed = moved.killed
    return moved.evidence
  })
  await story.step('notes', 'one memory on all devices', () => notesStep(world, killed as DemoDevice))
  const { digest } = await story.step('mirror', 'the memory on a git remote, readable', () => mirrorStep(world, url))
  const { stack } = await story.step('restore', 'every host is destroyed; back from the remote alone', () => restoreStep(world, url, String(digest)))
  await story.step('rejoin', 'a second device joins and has the memory again', () => rejoinStep(world, String(stack), String(digest)))
  story.say(`\n${story.paint('green', 'Every step held')} in ${milliseconds(performance.now() - started)}. Three hosts are gone, the memory is what it was:\n  ${String(digest)}`)
  return { stack: String(stack), project }
}

/** Leaves the last mesh running for a look around. */
async function stayUp ({ output }: Context, world: World, { stack, project }: { stack: string, project: Project }): Promise<void> {
  const addresses = world.devices.map(({ name, dir, ready }) => ({ name, dir, addresses: ready?.addresses ?? [] }))
  if (output.json) output.document('demo', { event: 'up', devices: addresses })
  world.story.say('\nTwo devices stay up. In another terminal:')
  for (const { name, addresses: [address = ''] } of addresses) {
    world.story.say(world.story.dim(`  ${name.padEnd(8)} ${address.slice(0, address.indexOf('/p2p/'))}`))
  }
  world.story.say(`\n  ${ALIAS}\n  export ELDER_NODE_DIR=${addresses[0]?.dir ?? ''}\n  elder-node status\n  elder-node stack show ${stack}\n  elder-node build ${project.dir} -- ls\n\nCtrl-C ends the demo and removes everything.`)
  await new Promise<void>((resolve) => world.signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Says what broke, with the end of the logs of those that could have broken it. */
function fail ({ output }: Context, world: World, error: unknown): void {
  printFailure(output, error)
  const dead = world.devices.filter((device) => device.ready !== undefined && !device.running)
  for (const device of dead.length > 0 ? dead : world.devices) {
    output.rawError(`\n-- ${device.name}${device.running ? '' : ' (not running)'}: the end of its log\n`)
    for (const line of device.tail(12)) output.rawError(`   ${plain(line.slice(0, 600))}\n`)
  }
}
