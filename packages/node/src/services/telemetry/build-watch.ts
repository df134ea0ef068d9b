/** Counts and logs one build of this device from its events: who watches a build changes nothing of it. */
import { traceIdOf } from '@elder-node/protocol'
import type { BuildEvent } from '../../api.ts'
import type { Clock } from '../../ports/host.ts'
import type { Logger } from '../../ports/log.ts'
import type { HistogramName, Metrics } from '../../ports/metrics.ts'

type Result = Extract<BuildEvent, { event: 'result' }>

export interface BuildWatchComponents { metrics?: Metrics | undefined, clock: Clock, log: Logger }

/** Observes how long the work took, however it ends. */
export async function timed<T> ({ metrics, clock }: Omit<BuildWatchComponents, 'log'>, name: HistogramName, work: () => Promise<T>): Promise<T> {
  const startMs = clock.monotonicMs()
  try {
    return await work()
  } finally {
    metrics?.observe(name, (clock.monotonicMs() - startMs) / 1000)
  }
}

/** Until the build ends. Never rejects. `startMs`: monotonic, when it was asked for. */
export async function watchBuild (events: AsyncIterable<BuildEvent>, { metrics, clock, log }: BuildWatchComponents, startMs: number): Promise<void> {
  let trace: string | undefined
  let waited = false
  for await (const event of events) {
    switch (event.event) {
      case 'queued':
        trace ??= traceIdOf(event.traceparent)
        log.info({ trace, build: event.build, why: event.why }, 'build queued')
        break
      case 'elected':
        if (!waited) metrics?.observe('elder_build_wait_seconds', (clock.monotonicMs() - startMs) / 1000)
        waited = true
        log.info({ trace, build: event.build, builder: event.builder.id, attempt: event.attempt, why: event.why }, 'build elected')
        break
      case 'moved':
        metrics?.count('elder_build_reelections_total')
        log.warn({ trace, build: event.build, from: event.from.id, attempt: event.attempt, why: event.why }, 'build moved')
        break
      case 'result': {
        const result = resultLabel(event)
        metrics?.count('elder_builds_total', { result })
        metrics?.observe('elder_build_duration_seconds', (clock.monotonicMs() - startMs) / 1000, { result })
        log.info({ trace, build: event.build, builder: event.builder?.id, attempt: event.attempt, exitCode: event.exitCode, state: event.state, code: event.error?.code }, 'build ended')
        break
      }
      default:
    }
  }
}

function resultLabel ({ state, exitCode, error }: Result): string {
  if (state === 'cancelled') return 'cancelled'
  return error !== null ? 'error' : exitCode === 0 ? 'success' : 'failure'
}
