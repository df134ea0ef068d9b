/**
 * One device of the harness: a real process with a real node, driven by JSON lines on stdin, answering on stdout.
 * Times are milliseconds of the machine's wall clock, comparable between the processes of one machine.
 */
import { availableParallelism, totalmem } from 'node:os'
import { createInterface } from 'node:readline'
import { createNode, type BuildEvent, type BuildRequest, type ElderNode, type NodeInit } from 'elder-node'
import { NoopEngine } from './noop-engine.ts'
import { bytesSent, countSocketBytes } from './socket-bytes.ts'
import { nowMs } from './stats.ts'

export type Command =
  | { do: 'start', init: Omit<NodeInit, 'engine'> & { engine: 'process' | 'noop' } }
  | { do: 'invite' }
  /** Answers when `count` devices are online here, itself included. */
  | { do: 'online', count: number }
  /** Answers when the named device is no longer online here. */
  | { do: 'offline', device: string }
  /** Answers when some device shows fewer free slots than it has. */
  | { do: 'busy' }
  /** Answers when every online device shows all its slots free. */
  | { do: 'idle' }
  | { do: 'rtt' }
  /** Makes this device look into the stack, so that `seen` knows the moment; answers when the stack is here. */
  | { do: 'watch', stack: string }
  | { do: 'write', stack: string, title: string }
  /** Many entries, as they come. */
  | { do: 'fill', stack: string, count: number }
  /** Answers when an entry with this title is here. */
  | { do: 'seen', title: string }
  | { do: 'mirror', stack: string, url: string }
  | { do: 'digest', stack: string }
  | { do: 'restore', url: string }
  /** Runs `times` builds, `parallel` of them at once. */
  | { do: 'builds', request: BuildRequest, times: number, parallel: number }
  /** One build that is only begun: `event` tells what becomes of it. */
  | { do: 'begin', request: BuildRequest }
  /** Answers at the `nth` event of this kind (its text holding `text`) of the build begun last. */
  | { do: 'event', event: BuildEvent['event'], text?: string, nth: number }
  | { do: 'usage' }
  | { do: 'stop' }

/** All devices are one machine here: each would see the others' work as its own load, tell everybody, and be passed over. */
const sensors: NonNullable<NodeInit['sensors']> = {
  facts: async () => ({ platform: `${process.platform}/${process.arch}`, cores: availableParallelism(), memoryTotalBytes: totalmem(), cpuModel: 'bench', hostname: 'bench' }),
  sample: async () => ({ load: 0, pressure: 0, memoryFreeBytes: totalmem() / 2, diskFreeBytes: 2 ** 38, diskTotalBytes: 2 ** 39, onBattery: false }),
}

interface Timed { at: number, event: BuildEvent }

let node: ElderNode | undefined
let begun: Timed[] = []
const seen = new Map<string, number>()
const wake = new Set<() => void>()

/** Calls `check` until it gives a value: whenever something was noted here, and every 5 ms. */
async function until<T> (check: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const value = await check()
    if (value !== undefined) return value
    await new Promise<void>(resolve => {
      const timer = setTimeout(done, 5)
      function done (): void {
        clearTimeout(timer)
        wake.delete(done)
        resolve()
      }
      wake.add(done)
    })
  }
}

/** The moment at which `check` first holds. */
function when (check: () => Promise<boolean>): Promise<{ at: number }> { return until(async () => await check() ? { at: nowMs() } : undefined) }

function note (): void { for (const done of wake) done() }

async function watch (live: ElderNode, name: string): Promise<{ at: number }> {
  const stack = await live.stacks.open(name)
  // Open answers for a name; the stack is here once it can be read.
  await until(() => stack.list().catch(() => undefined))
  void (async () => {
    for await (const change of stack.changes({ signal: new AbortController().signal })) {
      if (change.type === 'entry' && !seen.has(change.entry.title)) seen.set(change.entry.title, nowMs())
      note()
    }
  })()
  for (const entry of await stack.list()) seen.set(entry.title, seen.get(entry.title) ?? nowMs())
  return { at: nowMs() }
}

/** One build to its end, and the moments in between. */
async function follow (live: ElderNode, request: BuildRequest): Promise<Record<string, unknown>> {
  const requested = nowMs()
  const running = await live.build(request)
  const moments: Record<string, number> = { requested, snapshot: nowMs() }
  let output = ''
  for await (const event of running.events) {
    moments[event.event === 'progress' ? event.phase : event.event] ??= nowMs()
    if (event.event === 'log') output += event.data
  }
  const { exitCode, timings, builder, error } = await running.result
  return { moments, output, exitCode, timings, builder: builder?.name, error }
}

async function builds (live: ElderNode, request: BuildRequest, times: number, parallel: number): Promise<unknown> {
  const from = nowMs()
  const done: Array<Record<string, unknown>> = []
  let left = times
  const worker = async (): Promise<void> => { while (left-- > 0) done.push(await follow(live, request)) }
  await Promise.all(Array.from({ length: parallel }, worker))
  const ms = nowMs() - from
  const failed = done.find(build => build['exitCode'] !== 0)
  if (failed !== undefined) throw new Error(`a build failed: ${JSON.stringify(failed)}`)
  return { ms, builds: done }
}

async function begin (live: ElderNode, request: BuildRequest): Promise<unknown> {
  const events: Timed[] = begun = []
  const running = await live.build(request)
  void (async () => {
    for await (const event of running.events) {
      events.push({ at: nowMs(), event })
      note()
    }
  })()
  return { id: running.id }
}

function nth (events: Timed[], kind: string, text: string | undefined, count: number): { at: number, builder?: string } | undefined {
  const found = events.filter(({ event }) => event.event === kind && (text === undefined || JSON.stringify(event).includes(text)))[count - 1]
  if (found === undefined) return undefined
  const builder = found.event.event === 'elected' || found.event.event === 'result' ? found.event.builder?.name : undefined
  return { at: found.at, ...(builder === undefined ? {} : { builder }) }
}

async function perform (command: Command): Promise<unknown> {
  if (command.do === 'start') {
    const { engine, ...init } = command.init
    node = await createNode({ ...init, sensors, engine: engine === 'noop' ? new NoopEngine() : engine, trustBuilds: true })
    return { device: node.device, at: nowMs() }
  }
  const live = node as ElderNode
  switch (command.do) {
    case 'invite': return live.invite()
    case 'online': return when(async () => (await live.devices()).filter(device => device.online).length >= command.count)
    case 'offline': return when(async () => (await live.devices()).every(device => device.name !== command.device || !device.online))
    case 'busy': return when(async () => (await live.devices()).some(device => device.online && device.slots.free < device.slots.total))
    case 'idle': return when(async () => (await live.devices()).every(device => !device.online || device.slots.free === device.slots.total))
    case 'rtt': return { rttMs: (await live.devices()).flatMap(device => device.path === 'self' || device.rttMs === null ? [] : [device.rttMs]) }
    case 'watch': return watch(live, command.stack)
    case 'write': {
      const stack = await live.stacks.open(command.stack)
      const at = nowMs()
      await stack.add({ kind: 'note', title: command.title })
      return { at, durableMs: nowMs() - at }
    }
    case 'fill': {
      const stack = await live.stacks.open(command.stack)
      for (let i = 0; i < command.count; i++) await stack.add({ kind: 'note', title: `entry ${i}`, body: `What was learnt at step ${i}, in one sentence of usual length.` })
      return { at: nowMs() }
    }
    case 'seen': return until(() => { const at = seen.get(command.title); return at === undefined ? undefined : { at } })
    case 'mirror': {
      await live.stacks.addRemote(command.stack, command.url)
      const pushed = await live.stacks.sync(command.stack)
      if (pushed.some(({ ok }) => !ok)) throw new Error(JSON.stringify(pushed))
      return { at: nowMs() }
    }
    case 'digest': return (await live.stacks.open(command.stack)).digest()
    case 'restore': {
      const from = nowMs()
      const restored = await live.stacks.restore(command.url)
      return { ms: nowMs() - from, restored }
    }
    case 'builds': return builds(live, command.request, command.times, command.parallel)
    case 'begin': return begin(live, command.request)
    case 'event': return until(() => nth(begun, command.event, command.text, command.nth))
    case 'usage': return { ...process.cpuUsage(), rssBytes: process.memoryUsage.rss(), sentBytes: bytesSent(), at: nowMs() }
    case 'stop': return live.stop()
  }
}

countSocketBytes()
for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...command } = JSON.parse(line) as Command & { id: number }
  void perform(command as Command).then(
    result => process.stdout.write(`${JSON.stringify({ id, result: result ?? null })}\n`),
    error => process.stdout.write(`${JSON.stringify({ id, error: String((error as Error).stack ?? error) })}\n`)
  ).then(() => { if (command.do === 'stop') process.exit(0) })
}
// The harness is gone: so is its device.
process.exit(1)
