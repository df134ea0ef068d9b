/** Hybrid logical clock (Kulkarni et al. 2014): wall milliseconds times 1024 plus a counter, one safe integer until the year 2248. */
const TICKS = 1024

/** The next reading: never before `last`, never equal to it. */
export function nextAt (last: number, wallMs: number): number { return Math.max(last + 1, Math.floor(wallMs) * TICKS) }

/** Milliseconds since 1970. */
export function wallMsOf (at: number): number { return Math.floor(at / TICKS) }
