/** From a lease to a result on the builder: source, checkout, prepare, run, outputs. Every path ends with the tree removed. */
import { ElderError, encodeOutputPart, formatTraceparent, inputDigest, manifestDigest, nextSpan, outputGlobs, signResult, utf8, type BuildNetwork, type BuildResult, type BuildTimings, type Crypto, type ManifestFile, type Signer } from '@elder-node/protocol'
import type { Engine, Limits, RunEvent, RunSpec } from '../../ports/engine.ts'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { PreparedTrees } from '../../ports/prepare.ts'
import type { OutputReader, SourceCache } from '../../ports/source.ts'
import type { Job } from './job.ts'
import { receiveSource } from './source-receive.ts'

export interface RunComponents {
  engine: Engine
  cache: SourceCache
  outputs: OutputReader
  prepare: PreparedTrees | undefined
  clock: Clock
  crypto: Crypto
  signer: Signer
  /** The whole environment of a build, given what its requester asked to pass. */
  environment: (requested: Record<string, string>) => Record<string, string> | Promise<Record<string, string>>
  limits: Limits
  platform: string
  /** What the owner lets builds reach; `none` holds for the prepare command too. */
  network: BuildNetwork
  /** A build could not run, for no fault of its own: code of the error. @default nobody is told */
  couldNotRun?: (code: string) => void
  log: Logger
}

/** Exit code of a command that was ended at its deadline. */
const DEADLINE_EXIT = 124
const SHELL = ['/bin/sh', '-c']

type Exit = Extract<RunEvent, { type: 'exit' }> & { deadline: boolean, limit: number | null }

export async function runJob (job: Job, components: RunComponents): Promise<void> {
  const { engine, clock } = components
  const signal = job.controller.signal
  const timings: BuildTimings = { sourceMs: 0, prepareMs: 0, bootMs: 0, runMs: 0, returnMs: 0 }
  const timed = async <T>(name: keyof BuildTimings, work: () => Promise<T>): Promise<T> => {
    const from = clock.monotonicMs()
    try { return await work() } finally { timings[name] = clock.monotonicMs() - from }
  }
  let tree: string | undefined
  try {
    await timed('sourceMs', () => source(job, components))
    // A dishonest requester has not looked itself.
    outputGlobs(job.spec.outputs)
    const folder = tree = await engine.createTree(runId(job), job.lease.slot)
    await timed('bootMs', () => components.cache.checkout(job.requester, job.spec.source.project, job.spec.source.commit, folder, { signal, bytesMax: components.limits.diskBytes }))
    const failed = await timed('prepareMs', () => prepare(job, components, folder))
    const exit = failed ?? await timed('runMs', () => command(job, components, folder))
    signal.throwIfAborted()
    await timed('returnMs', () => handOver(job, components, folder, exit, timings))
  } catch (error) {
    if (!signal.aborted) await report(job, error, components)
  } finally {
    if (tree !== undefined) await remove(tree, components)
  }
}

/** What stays is swept at the next start: the build's result does not depend on it. */
async function remove (tree: string, { engine, log }: RunComponents): Promise<void> {
  await engine.removeTree(tree).catch((error: unknown) => { log.error({ err: error, tree }, 'what a build left could not be removed') })
}

async function source (job: Job, { cache }: RunComponents): Promise<void> {
  await job.send({ type: 'phase', phase: 'sending', message: '' })
  await receiveSource(cache, job.requester, job.spec.source, job.source[Symbol.asyncIterator](), frame => job.send(frame), job.controller.signal)
}

/** The exit of a prepare command that failed by itself: a failure of the build, never of its builder. */
async function prepare (job: Job, components: RunComponents, tree: string): Promise<Exit | undefined> {
  const command = job.spec.prepare
  if (command === null) return undefined
  await job.send({ type: 'phase', phase: 'preparing', message: '' })
  let failed: Exit | undefined
  const run = async (): Promise<void> => {
    if (components.network === 'none') throw new ElderError('PREPARE_NETWORK', 'the owner of this builder allows builds no network, which --prepare needs', 'Build on another device with --on, or commit what the command would fetch.')
    const exit = await runCommand(job, components, await runSpec(job, components, tree, [...SHELL, command], false))
    job.controller.signal.throwIfAborted()
    if (exit.exitCode === 0) return
    failed = exit
    throw new Error(`the prepare command ended with exit code ${exit.exitCode}`)
  }
  const { engine, platform, prepare: cache } = components
  const { image, source: { project, cwd } } = job.spec
  const parts = { requester: job.requester, project, command, cwd, engine: engine.name, image, platform }
  // A sealed build depends on nothing that an earlier one left.
  await (cache === undefined || job.spec.sealed ? run() : cache.furnish(parts, tree, run, { signal: job.controller.signal })).catch((error: unknown) => { if (failed === undefined) throw error })
  return failed
}

async function command (job: Job, components: RunComponents, tree: string): Promise<Exit> {
  await job.send({ type: 'phase', phase: 'running', message: components.engine.description.slice(0, 512) })
  const spec = await runSpec(job, components, tree, job.spec.command, job.spec.sealed)
  const traceparent = spanOf(job, components)
  // A sealed build sees the same each time it runs.
  return await runCommand(job, components, traceparent === null || spec.sealed ? spec : { ...spec, env: { ...spec.env, TRACEPARENT: traceparent } })
}

/** The builder's span of the requester's trace; the same whenever it is asked for, another for every lease. */
function spanOf ({ trace, lease }: Job, { crypto }: RunComponents): string | null {
  if (trace === undefined) return null
  return formatTraceparent(nextSpan(trace, length => crypto.sha256(utf8('elder/span/v1\0'), utf8(`${lease.build} ${lease.id} ${lease.fence}`)).subarray(0, length)))
}

async function runCommand (job: Job, { engine }: RunComponents, spec: RunSpec): Promise<Exit> {
  let deadline = false
  const stop = new AbortController()
  const timer = job.spec.deadlineMs === null ? undefined : setTimeout(() => {
    deadline = true
    stop.abort()
  }, job.spec.deadlineMs)
  try {
    for await (const event of engine.run(spec, { signal: AbortSignal.any([job.controller.signal, stop.signal]) })) {
      if (event.type === 'log') job.write(event.stream, event.data)
      if (event.type === 'exit') return { ...event, deadline, limit: deadline ? job.spec.deadlineMs : limitOf(event.reason, spec.limits) }
    }
  } finally {
    clearTimeout(timer)
  }
  throw new ElderError('ENGINE_FAILED', `the engine ${engine.name} ended without an exit code`, 'See `elder-node doctor` on the builder.')
}

function limitOf (reason: Exit['reason'], { memoryBytes, pidsMax, diskBytes }: Limits): number | null {
  return reason === null ? null : { memory: memoryBytes, pids: pidsMax, disk: diskBytes }[reason]
}

async function runSpec (job: Job, { environment, limits, network }: RunComponents, tree: string, command: string[], sealed: boolean): Promise<RunSpec> {
  const { spec, lease } = job
  return {
    id: runId(job), slot: lease.slot, tree, cwd: spec.source.cwd, command, env: await environment(spec.env), sealed: sealed || network === 'none', image: spec.image,
    limits: { ...limits, cpus: Math.min(limits.cpus, spec.cpus ?? limits.cpus), memoryBytes: Math.min(limits.memoryBytes, spec.memoryBytes ?? limits.memoryBytes) },
  }
}

/** Names what the build has on this machine. A requester chooses build and fence; the lease is this device's own, and no other build has it. */
function runId ({ spec, lease }: Job): string { return `${spec.build}-${lease.id.replaceAll('.', '-')}` }

/** Sends outputs and the signed result until the requester has them all; over a new stream when the old one breaks. */
async function handOver (job: Job, components: RunComponents, tree: string, exit: Exit, timings: BuildTimings): Promise<void> {
  const { signal } = job.controller
  const found = job.spec.outputs.length > 0 ? await components.outputs.match(tree, job.spec.outputs, { signal }) : { paths: [], unmatched: [], leftOut: [] }
  while (!job.received && !signal.aborted) {
    const stream = job.stream
    if (stream === undefined) {
      await job.changed()
      continue
    }
    await job.send({ type: 'phase', phase: 'returning', message: '' })
    await job.flushed()
    const manifest = await sendOutputs(job, components, tree, found.paths)
    if (manifest !== undefined && job.stream === stream) await sendResult(job, components, exit, timings, manifest, found)
    while (job.stream === stream && !job.received && !signal.aborted) await job.changed()
  }
}

/** Undefined when the stream broke on the way. */
async function sendOutputs (job: Job, { outputs }: RunComponents, tree: string, paths: string[]): Promise<ManifestFile[] | undefined> {
  let manifest: ManifestFile[] = []
  const stream = job.stream
  for await (const part of outputs.read(tree, paths, { signal: job.controller.signal })) {
    if (part.type === 'end') manifest = part.manifest
    for (const frame of encodeOutputPart(part)) {
      if (job.stream !== stream || !await job.send({ type: 'output', part: frame })) return undefined
    }
  }
  return manifest
}

async function sendResult (job: Job, components: RunComponents, exit: Exit, timings: BuildTimings, manifest: ManifestFile[], { unmatched, leftOut }: Pick<BuildResult, 'unmatched' | 'leftOut'>): Promise<void> {
  const { crypto, signer } = components
  const result: BuildResult = {
    build: job.spec.build, lease: job.lease.id, fence: job.lease.fence, inputDigest: inputDigest(job.spec, crypto),
    exitCode: exit.deadline ? DEADLINE_EXIT : exit.exitCode, signal: exit.signal, reason: exit.deadline ? 'deadline' : exit.reason, limit: exit.limit,
    timings, manifestDigest: manifestDigest(manifest, crypto), unmatched, leftOut,
    traceparent: spanOf(job, components),
  }
  await job.send({ type: 'result', result, signature: signResult(result, crypto, signer) })
}

async function report (job: Job, error: unknown, { couldNotRun }: RunComponents): Promise<void> {
  const { code, message, fix } = error instanceof ElderError ? error : new ElderError('BUILDER_FAILED', (error as Error).message)
  couldNotRun?.(code)
  await job.flushed()
  await job.send({ type: 'failed', code, message: message.slice(0, 4096), fix: fix.slice(0, 1024) })
}
