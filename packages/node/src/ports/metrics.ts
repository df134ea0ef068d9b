/** Where a part counts what happens. What only *is* (a load, a queue) is not counted: it is read when somebody asks. */

/** Few and fixed: device names, topics, results; never ids, never what a build or a peer may choose freely. */
export type MetricLabels = Readonly<Record<string, string>>

export type CounterName = 'elder_builds_total' | 'elder_build_reelections_total' | 'elder_gossip_messages_total'
/** All in seconds. */
export type HistogramName = 'elder_build_wait_seconds' | 'elder_build_election_seconds' | 'elder_build_duration_seconds'

export interface Metrics {
  /** Adds to a counter. @param by at least 0. @default 1 */
  count (name: CounterName, labels?: MetricLabels, by?: number): void
  /** One observation. */
  observe (name: HistogramName, seconds: number, labels?: MetricLabels): void
}
