/**
 * Every metric of a node, in one table: the registry, `/metrics`, the reference in the documentation, and the test that holds dashboards
 * and alert rules to what exists, all go by it.
 *
 * Prometheus naming (https://prometheus.io/docs/practices/naming/): base units, `_total` on counters alone. `device` and `peer` are names
 * of devices. A node also says what it knows of the others, from their adverts: scraping one node shows the whole mesh, and
 * `max by (device) (...)` is right for one scraped node and for all of them.
 */
import type { CounterName, HistogramName } from '../../ports/metrics.ts'

/** What is read when somebody asks. */
export type ReadName =
  | 'elder_build_info' | 'elder_device_up' | 'elder_peer_rtt_seconds' | 'elder_cpu_cores' | 'elder_cpu_usage_ratio' | 'elder_cpu_pressure_ratio'
  | 'elder_memory_available_bytes' | 'elder_memory_total_bytes' | 'elder_memory_usage_ratio' | 'elder_disk_available_bytes' | 'elder_disk_size_bytes'
  | 'elder_disk_usage_ratio' | 'elder_build_slots' | 'elder_build_slots_free' | 'elder_build_queue_length' | 'elder_builds_running'
  | 'elder_builds_waiting' | 'elder_stacks' | 'elder_stack_entries' | 'elder_stack_copies' | 'elder_stack_git_push_timestamp_seconds' | 'elder_stack_mirrored' | 'elder_alert'
  | 'elder_event_loop_lag_seconds' | 'elder_restarts_total' | 'elder_crashes_total' | 'process_resident_memory_bytes' | 'process_cpu_seconds_total'
  | 'process_start_time_seconds'

export type MetricName = CounterName | HistogramName | ReadName

export type MetricType = 'counter' | 'gauge' | 'histogram'
export type MetricUnit = 'seconds' | 'bytes' | 'ratio' | 'none'

export interface MetricFacts {
  readonly type: MetricType
  readonly unit: MetricUnit
  readonly labels: readonly string[]
  readonly help: string
  /** Upper bounds of a histogram's buckets; `+Inf` is added. */
  readonly buckets?: readonly number[]
}

const gauge = (unit: MetricUnit, labels: string, help: string): MetricFacts => ({ type: 'gauge', unit, labels: words(labels), help })
const counter = (labels: string, help: string, unit: MetricUnit = 'none'): MetricFacts => ({ type: 'counter', unit, labels: words(labels), help })
const histogram = (labels: string, help: string, buckets: number[]): MetricFacts => ({ type: 'histogram', unit: 'seconds', labels: words(labels), help, buckets })

/** From what a person does not notice to an hour, three a decade or so. */
const WAITS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600]
const ELECTIONS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]

const COUNTED: Record<CounterName | HistogramName, MetricFacts> = {
  elder_builds_total: counter('result', 'Builds that this device asked for and that have ended: success, failure (of the command), error (of the mesh), cancelled.'),
  elder_build_reelections_total: counter('', 'Times a build of this device was moved to another builder.'),
  elder_gossip_messages_total: counter('topic direction', 'Gossip messages sent by this device, and valid ones received from their authors.'),
  elder_build_wait_seconds: histogram('', 'From a request of this device to its first slot.', WAITS),
  elder_build_election_seconds: histogram('', 'One ranking of the builders, with waiting for adverts and the look-up in the directory.', ELECTIONS),
  elder_build_duration_seconds: histogram('result', 'From a request of this device to its result.', WAITS),
}

const READ: Record<ReadName, MetricFacts> = {
  elder_build_info: gauge('none', 'version node platform engine', 'Always 1: the version of the node and what it runs on.'),
  elder_device_up: gauge('none', 'device', '1 when the device is admitted, connected and its advert is fresh, as this device sees it.'),
  elder_peer_rtt_seconds: gauge('seconds', 'peer path', 'Round trip to a connected device.'),
  elder_cpu_cores: gauge('none', 'device', 'Cores of the device.'),
  elder_cpu_usage_ratio: gauge('ratio', 'device', 'Share of all cores in use.'),
  elder_cpu_pressure_ratio: gauge('ratio', 'device', 'Share of the last 10 s in which some task waited for CPU (Linux PSI); of this device.'),
  elder_memory_available_bytes: gauge('bytes', 'device', 'Memory that a build can have without swapping.'),
  elder_memory_total_bytes: gauge('bytes', 'device', 'Memory of the device.'),
  elder_memory_usage_ratio: gauge('ratio', 'device', 'Share of the memory that is not available.'),
  elder_disk_available_bytes: gauge('bytes', 'device', 'Free space of the disk that holds the data directory.'),
  elder_disk_size_bytes: gauge('bytes', 'device', 'Size of that disk.'),
  elder_disk_usage_ratio: gauge('ratio', 'device', 'Share of that disk that is not free.'),
  elder_build_slots: gauge('none', 'device', 'Builds that the device runs at once.'),
  elder_build_slots_free: gauge('none', 'device', 'Slots that are free.'),
  elder_build_queue_length: gauge('none', 'device', 'Builds that wait in line at the device.'),
  elder_builds_running: gauge('none', '', 'Builds of this device that are elected, sent, running or returning.'),
  elder_builds_waiting: gauge('none', '', 'Builds of this device that wait for a slot.'),
  elder_stacks: gauge('none', '', 'Stacks on this device.'),
  elder_stack_entries: gauge('none', 'stack', 'Entries of the stack; of the first 200 stacks by name.'),
  elder_stack_copies: gauge('none', 'stack', 'Devices known to hold all of the stack that this device holds, this one included.'),
  elder_stack_git_push_timestamp_seconds: gauge('seconds', 'stack remote', 'When this device last found all of the stack on the remote after something of it was missing there; 0: never. The URL is without user, password and query.'),
  elder_stack_mirrored: gauge('none', 'stack remote', '1 while the remote holds all that this device holds of the stack, as far as it knows.'),
  elder_alert: gauge('none', 'code', 'Problems of this code in `elder-node status` now.'),
  elder_event_loop_lag_seconds: gauge('seconds', '', 'Longest stall of the event loop in the last window of 15 s.'),
  elder_restarts_total: counter('', 'Starts of this node after its first one.'),
  elder_crashes_total: counter('', 'Starts of this node after an end that was not clean.'),
  process_resident_memory_bytes: gauge('bytes', '', 'Resident memory of the node.'),
  process_cpu_seconds_total: counter('', 'User and system CPU time of the node.', 'seconds'),
  process_start_time_seconds: gauge('seconds', '', 'When the node was started, seconds since 1970.'),
}

export const METRICS: Readonly<Record<MetricName, MetricFacts>> = { ...READ, ...COUNTED }

function words (text: string): string[] { return text.split(' ').filter(word => word !== '') }
