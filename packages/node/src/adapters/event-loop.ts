/** How long the event loop was blocked, measured outside JavaScript: a native timer that wakes nothing of ours. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { LoopMonitor } from '../ports/host.ts'

/** Ten wake-ups a second of a C++ timer: 0.05 % of a core. Stalls shorter than this are not seen, and none matter. */
const RESOLUTION_MS = 100

export function openLoopMonitor (): LoopMonitor {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  histogram.enable()
  return {
    // What is recorded is the time between two ticks of the timer.
    worstLagS: () => {
      const worstMs = histogram.count === 0 ? 0 : histogram.max / 1e6 - RESOLUTION_MS
      histogram.reset()
      return Math.max(0, worstMs) / 1000
    },
    close: () => { histogram.disable() },
  }
}
