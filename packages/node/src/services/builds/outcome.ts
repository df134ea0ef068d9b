/** How a build ends for who asked for it: state, exit code, failure. Pure. */
import { ElderError, type BuildResult, type Failure } from '@elder-node/protocol'
import type { BuildEvent, CandidateExplanation } from '../../api.ts'

export type ResultEvent = Extract<BuildEvent, { event: 'result' }>
export interface Outcome { state: ResultEvent['state'], exitCode: number, failure: Failure | null }

/** Exit codes of a build that the mesh, not its command, has ended. */
export const EXIT = { infrastructure: 125, deadline: 124, cancelled: 130, strictOutputs: 1 } as const

/** The command ran; `error` when its outputs could not be written here. */
export function outcomeOfResult (result: BuildResult, error: Error | undefined, { strictOutputs }: { strictOutputs: boolean }): Outcome {
  if (error !== undefined) return { state: 'failed', exitCode: EXIT.infrastructure, failure: failureOf(error) }
  if (strictOutputs && result.exitCode === 0 && result.unmatched.length > 0) return { state: 'failed', exitCode: EXIT.strictOutputs, failure: null }
  return { state: 'done', exitCode: result.exitCode, failure: null }
}

/** There is no result. */
export function outcomeOfFailure (state: 'failed' | 'cancelled', failure: Failure): Outcome {
  return { state, exitCode: state === 'cancelled' ? EXIT.cancelled : failure.code === 'DEADLINE' ? EXIT.deadline : EXIT.infrastructure, failure }
}

/** `mini: 0 slots; pi: offline`. */
export function listRefusals (candidates: CandidateExplanation[]): string {
  return candidates.length === 0 ? 'no other device is known here' : candidates.map(c => `${c.device.name}: ${c.refused ?? 'no answer'}`).join('; ')
}

function failureOf (error: Error): Failure {
  const { code, fix } = error instanceof ElderError ? error : { code: 'OUTPUT_FAILED', fix: 'Look at the folder the outputs are written to: --to.' }
  return { code, message: error.message, fix }
}
