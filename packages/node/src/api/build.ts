/** Builds as their requester sees them: what is asked for, what happens, how it ends, why there. */
import type { DeviceRef } from './device.ts'

export type BuildState = 'queued' | 'electing' | 'sending' | 'running' | 'returning' | 'done' | 'failed' | 'cancelled'

export interface BuildStatus {
  id: string
  state: BuildState
  builder: DeviceRef | null
  attempt: number
  /** ISO 8601. */
  startedAt: string
  command: string[]
  exitCode: number | null
  requester: DeviceRef
}

export interface BuildRequest {
  /** Folder to build; its whole worktree is sent. @default '.' */
  source?: string
  /** Program and arguments. @default `build.command` of the project's `.elder.json` */
  command?: string[]
  /** Runs first in the tree, by a shell, with network; what it adds is kept by the builder for later builds. @default `build.prepare` of `.elder.json` */
  prepare?: string
  /** Globs relative to the tree's root. @default `build.outputs` of `.elder.json` */
  outputs?: string[]
  /** Where outputs are written. @default the source tree's root */
  to?: string
  /** Device name or id prefix. */
  on?: string
  /** Names of environment variables of the caller to pass, with their values. */
  env?: Record<string, string>
  /** To run in, on builders whose engine runs images. @default `build.image` of `.elder.json`, else that of the devcontainer, else the builder's own */
  image?: string
  /** No network for the command; `prepare` has it. Builders that cannot keep this are refused. @default false */
  sealed?: boolean
  /** Never two attempts at once: a builder that is lost is waited for until its lease has surely ended (22 s). Never explores. @default false */
  exclusive?: boolean
  /** How long to wait for a builder while nobody can be asked, milliseconds: until `on` is online, or somebody has slots. @default 0 */
  waitMs?: number
  memoryBytes?: number
  cpus?: number
  /** From now until the end, waiting included, milliseconds. */
  deadlineMs?: number
  local?: 'auto' | 'never' | 'only'
  strictOutputs?: boolean
  /** Outputs replace files of the source tree that changed since it was sent; else they stand beside them, as `<name>.from-<builder>`. @default false */
  force?: boolean
  /** Elect and explain only: one `elected` event, nothing runs. */
  dryRun?: boolean
  agent?: string
  /** W3C trace context of the caller, which this build goes on with; anything else than 55 valid characters begins a new trace. */
  traceparent?: string
}

/** One row of the explanation: predicted seconds by term, or why it was refused. */
export interface CandidateExplanation {
  device: DeviceRef
  rttMs: number | null
  /** Seconds by name: rtt, transfer, queue, boot, run, history. Empty when refused. */
  terms: Record<string, number>
  score: number | null
  /** The run term is the default, not a measurement: this command has not run in this project before. */
  guessed?: boolean
  refused: string | null
}

/** Why a build ran where it did. */
export interface BuildExplanation {
  build: string
  /** Of the last election. */
  candidates: CandidateExplanation[]
  why: string
  /** `outcome`: `running`, `done`, or the code of what went wrong, with the reason behind it. */
  attempts: Array<{ attempt: number, builder: DeviceRef, outcome: string }>
  /** How it ended, once it has. */
  ended?: { state: 'done' | 'failed' | 'cancelled', exitCode: number, reason: 'memory' | 'pids' | 'disk' | 'deadline' | null, error: BuildFailure | null }
}

/** What ended a build that its command did not end: of the mesh, a limit, the deadline. */
export interface BuildFailure { code: string, message: string, fix: string }

/** `beside`: the name under which it stands, because the file in its place changed here. `failed`: of a build whose command failed. */
export interface OutputInfo { path: string, bytes: number, sha256: string, beside?: string, failed?: true }

export type BuildEvent =
  /** First of all, with the trace that log lines of every device name by its id; again, with `why`, when the build waits for a slot. */
  | { event: 'queued', build: string, why?: string, traceparent?: string }
  | { event: 'elected', build: string, builder: DeviceRef, attempt: number, why: string, candidates: CandidateExplanation[] }
  /** An attempt begins on its builder; `message` says what network the build has, and why. */
  | { event: 'started', build: string, builder: DeviceRef, attempt: number, engine: string, network: 'full' | 'none', sealed: boolean, image: string | null, message: string }
  /** `bytes`: of source, sent so far; `totalBytes`: about how many there are. */
  | { event: 'progress', build: string, phase: 'sending' | 'preparing' | 'running' | 'returning', message: string, bytes?: number, totalBytes?: number }
  /** `data` is UTF-8 text. */
  | { event: 'log', build: string, stream: 'stdout' | 'stderr', data: string }
  | { event: 'moved', build: string, from: DeviceRef, attempt: number, why: string }
  | { event: 'warning', build: string, message: string }
  | { event: 'result', build: string, state: 'done' | 'failed' | 'cancelled', exitCode: number, builder: DeviceRef | null, attempt: number, sealed?: boolean, timings: Record<string, number>, outputs: OutputInfo[], error: BuildFailure | null, reason?: 'memory' | 'pids' | 'disk' | 'deadline', traceparent?: string }

export interface RunningBuild {
  id: string
  /** Ends with `result`. Every consumer sees all events from the first. */
  events: AsyncIterable<BuildEvent>
  /** Never rejects for a failing command: look at `exitCode` (125 when the mesh could not run it, 124 deadline, 130 cancelled). */
  result: Promise<Extract<BuildEvent, { event: 'result' }>>
  cancel (): Promise<void>
}
