/** Quantiles of a sample, nearest rank. */
export function quantile (values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN
}

export interface Summary { n: number, min: number, p50: number, p99: number, max: number }

/** Undefined for no figures at all. */
export function summary (values: number[]): Summary | undefined {
  if (values.length === 0) return undefined
  const round = (x: number): number => Math.round(x * 100) / 100
  return { n: values.length, min: round(Math.min(...values)), p50: round(quantile(values, 0.5)), p99: round(quantile(values, 0.99)), max: round(Math.max(...values)) }
}

/** Milliseconds of this machine's wall clock, comparable between its processes, finer than Date.now(). */
export function nowMs (): number { return performance.timeOrigin + performance.now() }

export function sleep (ms: number): Promise<void> { return new Promise(resolve => { setTimeout(resolve, ms) }) }
