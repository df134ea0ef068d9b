/**
 * Timers whose work may fail. What a timer's callback throws has no caller and would end the process, so it goes to `failed`: said in
 * the log, and the timer comes again.
 */

/** Told of what the work threw, or of why its promise was rejected. */
export type Failed = (error: unknown) => void

/** Runs `act` every so many milliseconds, until `clearInterval`. */
export function every (ms: number, act: () => unknown, failed: Failed): NodeJS.Timeout {
  return setInterval(() => { attempt(act, failed) }, ms)
}

/** Runs `act` once, so many milliseconds from now, unless `clearTimeout` comes first. */
export function after (ms: number, act: () => unknown, failed: Failed): NodeJS.Timeout {
  return setTimeout(() => { attempt(act, failed) }, ms)
}

/** Runs `act` now, as a timer would. */
export function attempt (act: () => unknown, failed: Failed): void {
  try {
    const result = act()
    if (result instanceof Promise) result.catch(failed)
  } catch (error) {
    failed(error)
  }
}
