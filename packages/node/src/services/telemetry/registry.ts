/** What was counted since the start of the node. */
import type { CounterName, HistogramName, MetricLabels, Metrics } from '../../ports/metrics.ts'
import { METRICS, type MetricName } from './catalogue.ts'

/** One line of `/metrics`; `suffix`: of a histogram's parts. */
export interface Sample { name: MetricName, suffix?: '_bucket' | '_sum' | '_count', labels: MetricLabels, value: number }

interface Counted { labels: MetricLabels, value: number }
interface Observed { labels: MetricLabels, sum: number, count: number, buckets: number[] }

/** Series of one metric; more are not kept: labels come from fixed sets, so this is a wall that nothing should reach. */
const SERIES_MAX = 64

export class MetricRegistry implements Metrics {
  readonly #counters = new Map<CounterName, Map<string, Counted>>()
  readonly #histograms = new Map<HistogramName, Map<string, Observed>>()

  count (name: CounterName, labels: MetricLabels = {}, by: number = 1): void {
    const series = seriesOf(this.#counters, name, labels, () => ({ labels, value: 0 }))
    if (series !== undefined) series.value += Math.max(0, by)
  }

  observe (name: HistogramName, seconds: number, labels: MetricLabels = {}): void {
    if (!Number.isFinite(seconds)) return
    const bounds = METRICS[name].buckets ?? []
    const series = seriesOf(this.#histograms, name, labels, () => ({ labels, sum: 0, count: 0, buckets: bounds.map(() => 0) }))
    if (series === undefined) return
    const value = Math.max(0, seconds)
    series.sum += value
    series.count++
    const at = bounds.findIndex(bound => value <= bound)
    if (at >= 0) series.buckets[at] = (series.buckets[at] ?? 0) + 1
  }

  samples (): Sample[] {
    return [
      ...[...this.#counters].flatMap(([name, all]) => [...all.values()].map(({ labels, value }) => ({ name, labels, value }))),
      ...[...this.#histograms].flatMap(([name, all]) => [...all.values()].flatMap(series => histogramSamples(name, series))),
    ]
  }
}

/** Buckets are cumulative, the last one holds all. */
function histogramSamples (name: HistogramName, { labels, sum, count, buckets }: Observed): Sample[] {
  let below = 0
  const bounds = (METRICS[name].buckets ?? []).map((bound, i): Sample => {
    below += buckets[i] ?? 0
    return { name, suffix: '_bucket', labels: { ...labels, le: String(bound) }, value: below }
  })
  return [...bounds, { name, suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count }, { name, suffix: '_sum', labels, value: sum }, { name, suffix: '_count', labels, value: count }]
}

function seriesOf<Name, Series> (all: Map<Name, Map<string, Series>>, name: Name, labels: MetricLabels, make: () => Series): Series | undefined {
  const known = all.get(name) ?? new Map<string, Series>()
  all.set(name, known)
  const key = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => a < b ? -1 : 1))
  const found = known.get(key)
  if (found !== undefined || known.size >= SERIES_MAX) return found
  const made = make()
  known.set(key, made)
  return made
}
