/** The handler table: one line of meaning per method of the control API. Nothing here decides; it translates. */
import type { EntryPatch, NewEntry, StackDigest } from '@elder-node/crdt-stack'
import type { ControlMethod, ControlMethods, ControlRequest, ControlStream } from '@elder-node/protocol'
import type { BuildEvent, BuildState, BuildStatus, Departure, DeviceRef, DeviceStatus, Diagnosis, ElderNode, EntryChange, Evictee, PingEvent, Place, RemoteInfo, RestoredStack, SearchHit, ShownEntry, StackProof, StackStatus, Status } from '../api.ts'

/** What each method answers: the result, or one event of its stream. */
export interface ControlAnswers {
  'status': Status
  'devices': DeviceStatus[]
  'invite': Awaited<ReturnType<ElderNode['invite']>>
  'evict': DeviceRef
  'evict.whom': Evictee
  'diagnosis': Diagnosis
  'promote': DeviceRef
  'ping': PingEvent
  'leave': Departure
  'build': BuildEvent
  'builds.list': BuildStatus[]
  'builds.events': BuildEvent
  'builds.cancel': { build: string, state: BuildState, cancelled: boolean }
  'builds.why': Awaited<ReturnType<ElderNode['builds']['why']>>
  'stacks.list': StackStatus[]
  'stack.place': Place
  'stack.add': ShownEntry
  'stack.edit': ShownEntry
  'stack.rm': { id: string, removed: boolean }
  'stack.archive': Awaited<ReturnType<ElderNode['stacks']['archive']>>
  'stack.removeAll': Awaited<ReturnType<ElderNode['stacks']['removeAll']>>
  'stack.show': ShownEntry
  'stack.digest': StackDigest
  'stack.remote.add': RemoteInfo
  'stack.remote.list': RemoteInfo[]
  'stack.remote.rm': { stack: string, url: string }
  'stack.search': SearchHit[]
  'stack.log': EntryChange
  'stack.verify': StackProof
  'stack.sync': Awaited<ReturnType<ElderNode['stacks']['sync']>>
  'stack.restore': RestoredStack[]
}

const ENDED: ReadonlySet<BuildState> = new Set(['done', 'failed', 'cancelled'])

type Answer<M extends ControlMethod> = M extends ControlStream ? AsyncIterable<ControlAnswers[M]> : Promise<ControlAnswers[M]>
type Handler<M extends ControlMethod> = (node: ElderNode, params: ControlMethods[M], signal: AbortSignal) => Answer<M>

const HANDLERS: { [M in ControlMethod]: Handler<M> } = {
  'status': (node) => node.status(),
  'devices': (node) => node.devices(),
  'invite': (node, params) => node.invite(params),
  'evict': (node, { device, ...options }) => node.evict(device, options),
  'evict.whom': (node, { device, ...options }) => node.evictee(device, options),
  'diagnosis': (node) => node.diagnosis(),
  'promote': (node, { device }) => node.promote(device),
  'ping': (node, { device, ...options }, signal) => node.ping(device, { ...options, signal }),
  'leave': (node, params, signal) => node.leave({ ...params, signal }),
  'build': (node, params, signal) => runBuild(node, params, signal),
  'builds.list': (node) => node.builds.list(),
  'builds.events': (node, params, signal) => watch(node, params, signal),
  'builds.cancel': (node, { id }) => cancel(node, id),
  'builds.why': (node, { id }) => node.builds.why(id),
  'stacks.list': (node, options) => node.stacks.list(options),
  'stack.place': (node, worktree) => node.stacks.place(worktree),
  'stack.add': async (node, { stack, entry, agent, claim }) => (await node.stacks.open(stack)).add(entry as NewEntry, { ...by(agent), ...(claim === undefined ? {} : { claim }) }),
  'stack.edit': async (node, { stack, id, patch, ...options }) => (await node.stacks.open(stack)).edit(id, patch as EntryPatch, options),
  'stack.rm': (node, params) => remove(node, params),
  'stack.archive': (node, { stack, ...options }) => node.stacks.archive(stack, options),
  'stack.removeAll': (node, { stack, ...options }) => node.stacks.removeAll(stack, options),
  'stack.show': (node, params) => show(node, params),
  'stack.digest': async (node, { stack }) => (await node.stacks.open(stack)).digest(),
  'stack.remote.add': (node, { stack, url }) => node.stacks.addRemote(stack, url),
  'stack.remote.list': (node) => node.stacks.remotes(),
  'stack.remote.rm': (node, { stack, url }) => node.stacks.removeRemote(stack, url),
  'stack.search': (node, { query, ...filter }) => node.stacks.search(query, filter),
  'stack.log': (node, params) => log(node, params),
  'stack.verify': (node, { stack }, signal) => node.stacks.verify(stack, { signal }),
  'stack.sync': (node, { stack }) => node.stacks.sync(stack),
  'stack.restore': (node, { url }) => node.stacks.restore(url),
}

/** Runs one validated request. A stream method answers an async iterable, every other one a promise. */
export function handle (node: ElderNode, request: ControlRequest, signal: AbortSignal): AsyncIterable<unknown> | Promise<unknown> {
  const handler = HANDLERS[request.method] as (node: ElderNode, params: unknown, signal: AbortSignal) => AsyncIterable<unknown> | Promise<unknown>
  return handler(node, request.params, signal)
}

function by (agent: string | undefined): { agent?: string } { return agent === undefined ? {} : { agent } }

/** The build lives as long as its connection: when the caller goes away, it is cancelled on whatever device it runs. Not when `detach` is set. */
async function * runBuild (node: ElderNode, { detach = false, ...params }: ControlMethods['build'], signal: AbortSignal): AsyncGenerator<BuildEvent> {
  if (detach) return yield * (await node.build(params)).events
  const build = await node.build(params, { signal })
  const cancel = (): void => { build.cancel().catch(() => undefined) }
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  try {
    yield * build.events
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

async function * watch (node: ElderNode, { id, follow = true }: ControlMethods['builds.events'], signal: AbortSignal): AsyncGenerator<BuildEvent> {
  yield * await node.builds.events(id, { signal, follow })
}

/** What had ended stays as it was. */
async function cancel (node: ElderNode, id: string): Promise<ControlAnswers['builds.cancel']> {
  const { build } = await node.builds.why(id)
  const stateOf = async (): Promise<BuildState> => (await node.builds.list()).find((one) => one.id === build)?.state ?? 'done'
  const ended = ENDED.has(await stateOf())
  await node.builds.cancel(build)
  return { build, state: await stateOf(), cancelled: !ended }
}

async function remove (node: ElderNode, { stack, id, undo = false, agent }: ControlMethods['stack.rm']): Promise<ControlAnswers['stack.rm']> {
  const open = await node.stacks.open(stack)
  const entry = await open.get(id)
  await open.remove(entry.id, { undo, ...by(agent) })
  return { id: entry.id, removed: !undo }
}

async function * show (node: ElderNode, { stack, id, at, ...filter }: ControlMethods['stack.show']): AsyncGenerator<ShownEntry> {
  const open = await node.stacks.open(stack)
  if (id === undefined) yield * await open.list(filter)
  else yield await open.get(id, at === undefined ? {} : { at })
}

async function * log (node: ElderNode, { stack, ...options }: ControlMethods['stack.log']): AsyncGenerator<EntryChange> {
  yield * await (await node.stacks.open(stack)).log(options)
}
