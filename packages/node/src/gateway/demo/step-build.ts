/** Step 2: a real build on the elected device; what comes back equals a build made here. */
import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { BuildEvent } from '../../api.ts'
import { renderCandidates } from '../render/build.ts'
import { commandFailed } from './children.ts'
import type { Project } from './project.ts'
import { hashes, manifestHash } from './project.ts'
import type { Evidence } from './story.ts'
import { deviceAt } from './world.ts'
import type { World } from './world.ts'

type Elected = Extract<BuildEvent, { event: 'elected' }>
type Result = Extract<BuildEvent, { event: 'result' }>

export async function buildStep (world: World, project: Project): Promise<Evidence> {
  const to = join(world.temp, 'outputs')
  const flags = ['--explain', '--out', project.outputs, '--to', to, '--strict-outputs', ...(project.prepare === undefined ? [] : ['--prepare', project.prepare])]
  const child = world.children.spawn(deviceAt(world, 0).dir, ['build', project.dir, ...flags, '--', ...project.command])
  let elected: Elected | undefined
  const { code, last } = await world.children.follow(child, (document) => {
    const event = document as unknown as BuildEvent
    if (event.event === 'elected') { elected = event; explain(world, event) }
    if (event.event === 'progress' && event.phase === 'preparing') world.story.detail('prepare: what the package needs; kept for later builds')
    if (event.event === 'progress' && event.phase === 'running') world.story.detail('run')
    if (event.event === 'warning') world.story.detail(event.message)
    if (event.event === 'log') world.story.log(event.data)
  }, world.signal)
  if (code !== 0 || last?.event !== 'result' || elected === undefined) throw commandFailed(child, code, last?.event === 'result' && last.error === null ? undefined : last)
  return await compare(world, project, { to, elected, result: last as unknown as Result })
}

function explain (world: World, { candidates, builder, why }: Elected): void {
  for (const row of renderCandidates(candidates, builder.id, world.story.paint)) world.story.row(row)
  world.story.detail(`elected ${builder.name}: ${why}`)
}

/** Three manifests must agree: what the builder signed, what lies on this disk, what a build made here gives. */
async function compare (world: World, project: Project, { to, elected, result }: { to: string, elected: Elected, result: Result }): Promise<Evidence> {
  const told = manifestHash(new Map(result.outputs.map(({ path, sha256 }) => [path, sha256])))
  const received = manifestHash(await hashes(to, '.'))
  const local = manifestHash(await project.buildHere(world.temp))
  if (result.outputs.length === 0 || told !== received || received !== local) {
    throw new ElderError('DEMO_FAILED', `the outputs differ: builder ${told}, received ${received}, built here ${local}`)
  }
  world.story.detail(`${result.outputs.length} files came back and equal a build made here, byte for byte`)
  const chosen = elected.candidates.find(({ device }) => device.id === elected.builder.id)
  return {
    builder: result.builder?.name, exitCode: result.exitCode, attempt: result.attempt, why: elected.why, rttMs: chosen?.rttMs == null ? null : Math.round(chosen.rttMs * 1000) / 1000,
    outputs: result.outputs.length, sha256: received, localSha256: local, timings: result.timings, candidates: elected.candidates,
  }
}
