import { performance } from 'node:perf_hooks'
import type { Clock } from '../ports/host.ts'

/** The machine's clocks. `monotonicMs` does not jump when the wall clock is set. */
export const systemClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
