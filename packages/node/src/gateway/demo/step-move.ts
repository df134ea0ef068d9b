/** Step 3: the builder dies in the middle of a build; the build finishes elsewhere and leaves no process behind. */
import { randomBytes } from 'node:crypto'
import { ElderError } from '@elder-node/protocol'
import type { BuildEvent } from '../../api.ts'
import type { Child } from './children.ts'
import { commandFailed } from './children.ts'
import type { DemoDevice } from './device.ts'
import { poll } from './poll.ts'
import type { Marked } from './processes.ts'
import { markedProcesses, stillRuns } from './processes.ts'
import type { Project } from './project.ts'
import type { Evidence } from './story.ts'
import { deviceAt, deviceById } from './world.ts'
import type { World } from './world.ts'

/** About ten seconds of visible work; `$0` is the mark that /proc is searched for. */
const WORK = 'i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo "step $i of 20"; sleep 0.5; done; echo finished'
const KILL_AT = 'step 3 of 20'
/** A `process` build dies with its node. */
const GONE_MS = 10_000

interface Killed { device: DemoDevice, atMs: number, processes: Marked[] | undefined, goneMs: number | undefined }

export async function moveStep (world: World, project: Project): Promise<{ evidence: Evidence, killed: DemoDevice }> {
  const mark = `elder-demo-${randomBytes(8).toString('hex')}`
  const child = world.children.spawn(deviceAt(world, 0).dir, ['build', project.dir, '--env', 'ELDER_DEMO_MARK', '--', 'sh', '-c', WORK, mark], { env: { ELDER_DEMO_MARK: mark } })
  const seen: BuildEvent[] = []
  let killing: Promise<Killed> | undefined
  const { code, last } = await world.children.follow(child, (document) => {
    const event = document as unknown as BuildEvent
    seen.push(event)
    tell(world, event)
    if (killing === undefined && event.event === 'log' && event.data.includes(KILL_AT)) {
      killing = killBuilder(world, seen, mark, child)
      killing.catch(() => undefined)
    }
  }, world.signal)
  if (killing === undefined || code !== 0 || last?.event !== 'result') throw commandFailed(child, code, last)
  const killed = await killing
  const proved = await evidence(seen, killed, mark)
  world.story.detail(`finished on ${proved.to} as attempt ${proved.attempt}; nothing of the first attempt still runs`)
  return { killed: killed.device, evidence: proved }
}

function tell (world: World, event: BuildEvent): void {
  if (event.event === 'elected') world.story.detail(`attempt ${event.attempt} runs on ${event.builder.name}`)
  if (event.event === 'moved') world.story.detail(`the build leaves ${event.from.name}: ${event.why.split(': ')[0]}`)
  if (event.event === 'log') world.story.log(event.data)
}

async function killBuilder (world: World, seen: BuildEvent[], mark: string, child: Child): Promise<Killed> {
  const elected = seen.findLast((event) => event.event === 'elected')
  if (elected === undefined) throw new ElderError('DEMO_FAILED', 'the build printed before a builder was elected')
  const device = deviceById(world, elected.builder.id)
  const processes = await markedProcesses(mark, new Set([child.process.pid ?? 0, process.pid]))
  if (processes?.length === 0) throw new ElderError('DEMO_FAILED', 'the running build has no process on this machine')
  world.story.detail(`SIGKILL to ${device.name}, in the middle of the build`)
  await device.kill()
  const atMs = performance.now()
  const gone = processes === undefined ? undefined : poll(async () => (await Promise.all(processes.map(stillRuns))).includes(true) ? undefined : performance.now() - atMs,
    { what: `every process of the build on ${device.name} is gone`, deadlineMs: GONE_MS, signal: world.signal })
  return { device, atMs, processes, goneMs: await gone }
}

async function evidence (seen: BuildEvent[], killed: Killed, mark: string): Promise<Evidence> {
  const moved = seen.find((event) => event.event === 'moved')
  const result = seen.findLast((event) => event.event === 'result')
  const left = await markedProcesses(mark, new Set([process.pid]))
  const printed = seen.some((event) => event.event === 'log' && event.data.includes('finished'))
  const fine = moved !== undefined && result?.exitCode === 0 && result.builder !== null && result.builder.id !== killed.device.ready?.device.id && printed
  if (!fine) throw new ElderError('DEMO_FAILED', `the build did not move: ${JSON.stringify({ moved, result })}`)
  if (left !== undefined && left.length > 0) throw new ElderError('DEMO_FAILED', `processes of the build are left: ${left.map(({ pid }) => pid).join(', ')}`)
  return {
    from: killed.device.name, to: result.builder?.name, attempt: result.attempt, exitCode: result.exitCode, why: moved.why,
    killedProcesses: killed.processes?.length ?? 'not looked for: no /proc here', goneMs: killed.goneMs === undefined ? null : Math.round(killed.goneMs), processesLeft: left?.length ?? null,
  }
}
