/** How a build ends for who asked for it: state, exit code, failure. Pure. */
import { ElderError, type BuildResult, type Failure } from '@elder-node/protocol'
import type { BuildEvent, CandidateExplanation } from '../../api.ts'
import { durationText } from '../../quantities.ts'
import { limitFailure, type LimitAsked } from './limit-failure.ts'

export type ResultEvent = Extract<BuildEvent, { event: 'result' }>
/** `reason`: what the builder ended the command for. */
export interface Outcome { state: ResultEvent['state'], exitCode: number, failure: Failure | null, reason?: NonNullable<BuildResult['reason']> }
export interface Asked extends LimitAsked { strictOutputs: boolean, deadlineMs: number | null }

/** Exit codes of a build that the mesh, not its command, has ended. */
export const EXIT = { infrastructure: 125, deadline: 124, cancelled: 130, strictOutputs: 1 } as const


/** The command ran; `error` when its outputs could not be written here. */
export function outcomeOfResult (result: BuildResult, error: Error | undefined, asked: Asked): Outcome {
  const { strictOutputs, deadlineMs } = asked
  if (error !== undefined) return { state: 'failed', exitCode: EXIT.infrastructure, failure: failureOf(error) }
  if (result.reason === 'deadline') return { state: 'failed', exitCode: EXIT.deadline, failure: deadlineFailure(deadlineMs), reason: 'deadline' }
  const limit = limitFailure(result, asked)
  if (limit !== null && result.reason !== null) return { state: 'failed', exitCode: result.exitCode, failure: limit, reason: result.reason }
  if (strictOutputs && result.exitCode === 0 && result.unmatched.length > 0) return { state: 'failed', exitCode: EXIT.strictOutputs, failure: missingOutputs(result.unmatched) }
  return { state: 'done', exitCode: result.exitCode, failure: null }
}

/** There is no result. */
export function outcomeOfFailure (state: 'failed' | 'cancelled', failure: Failure, { deadlineMs }: Pick<Asked, 'deadlineMs'> = { deadlineMs: null }): Outcome {
  const exitCode = state === 'cancelled' ? EXIT.cancelled : failure.code === 'DEADLINE' ? EXIT.deadline : EXIT.infrastructure
  return { state, exitCode, ...(failure.code === 'DEADLINE' ? { failure: deadlineFailure(deadlineMs), reason: 'deadline' as const } : { failure }) }
}

/** `mini: 0 slots; pi: offline`. */
export function listRefusals (candidates: CandidateExplanation[]): string {
  return candidates.length === 0 ? 'no other device is known here' : candidates.map(c => `${c.device.name}: ${c.refused ?? 'no answer'}`).join('; ')
}

/** What would change it, going by why each was refused. */
export function fixFor (candidates: CandidateExplanation[]): string {
  const refused = (why: string): boolean => candidates.some(candidate => candidate.refused?.includes(why) === true)
  if (refused('runs no image')) return 'An image needs a builder with Docker or Podman: `elder-node doctor` there says what is missing. Without an image the tools of the builder are used.'
  const bare = candidates.filter(candidate => candidate.refused === 'no default image').map(({ device }) => device.name)
  if (bare.length > 0) return `On ${bare.join(' or ')}: elder-node image build   (or name an image: --image node:24)`
  const without = candidates.filter(candidate => candidate.refused?.startsWith('0 slots: ') === true).map(({ device }) => device.name)
  if (without.length > 0) return `On ${without.join(' or ')}: elder-node doctor says what is missing, and how to get it.`
  if (refused('cannot seal')) return 'Drop --sealed, or use a builder with Docker, Podman or the sandbox: join --engine auto.'
  if (refused('local auto')) return 'Wait with --wait 10m, or see `elder-node status`.'
  if (refused('local only')) return 'Leave out --local only, or give this device a slot: elder-node config set slots 1, then start its node again.'
  if (/\b(memory|cpus|cores)\b.*</.test(candidates.map(({ refused: why }) => why ?? '').join('\n'))) return 'Ask for less with --memory and --cpus; `elder-node status` shows what each device has.'
  return 'See `elder-node status`; a device without slots gets one when started with: elder-node join --engine process --slots 1'
}

/** Nobody took the build. `known`: a reason of its own, as that the named device is offline; `waitMs`: how long it waited. */
export function nobodyTook (failure: Failure, candidates: CandidateExplanation[], known: Failure | undefined, waitMs: number | undefined): Failure {
  const waited = waitMs === undefined ? '' : `, and in ${durationText(waitMs)} of --wait that did not change`
  return { ...failure, fix: fixFor(candidates), ...known, message: `${known?.message ?? `${failure.message}: ${listRefusals(candidates)}`}${waited}` }
}

function deadlineFailure (deadlineMs: number | null): Failure {
  return { code: 'DEADLINE', message: `the build was ended at the deadline of ${deadlineMs === null ? 'its builder' : `${durationText(deadlineMs)} that --deadline set`}: waiting, sending and preparing count too`, fix: 'Give it longer with --deadline, or leave the flag out.' }
}

function missingOutputs (unmatched: string[]): Failure {
  return { code: 'OUTPUT_MISSING', message: `the command succeeded, but no output matches ${unmatched.join(', ')}`, fix: 'Globs are relative to the root of the tree. Without --strict-outputs this is a warning.' }
}

function failureOf (error: Error): Failure {
  const { code, fix } = error instanceof ElderError ? error : { code: 'OUTPUT_FAILED', fix: 'Look at the folder the outputs are written to: --to.' }
  return { code, message: error.message, fix }
}
