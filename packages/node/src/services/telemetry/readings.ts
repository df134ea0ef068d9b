/** What is, as samples: a pure function of the status document and of what only this process knows. */
import type { DeviceStatus, Problem, StackStatus, Status } from '../../api.ts'
import type { MetricLabels } from '../../ports/metrics.ts'
import type { MetricName } from './catalogue.ts'
import type { Sample } from './registry.ts'

/** What this process knows beyond its status document. */
export interface OwnReadings {
  /** `v24.1.0`. */
  node: string
  /** Share of the last 10 s; null where the system cannot say. */
  cpuPressure: number | null
  /** Builds in line, by device id. */
  queues: ReadonlyMap<string, number>
  /** Every code of the catalogue of alerts: one that is silent is 0. */
  alertCodes: readonly string[]
  eventLoopLagS: number
  restarts: number
  crashes: number
  residentBytes: number
  cpuS: number
  startTimeS: number
}

const DEVICES_MAX = 256
const STACKS_MAX = 200
const RUNNING = new Set(['electing', 'sending', 'running', 'returning'])

export function readingsOf (status: Status, own: OwnReadings): Sample[] {
  const { self, devices, builds, stacks, problems } = status
  const here = devices.find(device => device.id === self.id)
  return [
    one('elder_build_info', 1, { version: self.version, node: own.node, platform: here?.platform ?? 'unknown', engine: here?.engine ?? 'none' }),
    ...devices.slice(0, DEVICES_MAX).flatMap(device => deviceSamples(device, own.queues.get(device.id))),
    ...(own.cpuPressure === null ? [] : [one('elder_cpu_pressure_ratio', own.cpuPressure, { device: self.name })]),
    one('elder_builds_running', builds.filter(({ state }) => RUNNING.has(state)).length),
    one('elder_builds_waiting', builds.filter(({ state }) => state === 'queued').length),
    one('elder_stacks', stacks.length),
    ...stacks.slice(0, STACKS_MAX).flatMap(stackSamples),
    ...alertSamples(problems, own.alertCodes),
    one('elder_event_loop_lag_seconds', own.eventLoopLagS),
    one('elder_restarts_total', own.restarts), one('elder_crashes_total', own.crashes),
    one('process_resident_memory_bytes', own.residentBytes), one('process_cpu_seconds_total', own.cpuS), one('process_start_time_seconds', own.startTimeS),
  ]
}

function deviceSamples ({ name: device, online, path, rttMs, cpu, memory, disk, slots }: DeviceStatus, queue: number | undefined): Sample[] {
  const up = one('elder_device_up', online ? 1 : 0, { device })
  if (!online) return [up]
  return [
    up,
    ...(path === 'self' || rttMs === null ? [] : [one('elder_peer_rtt_seconds', rttMs / 1000, { peer: device, path })]),
    ...(cpu === null ? [] : [one('elder_cpu_cores', cpu.cores, { device }), one('elder_cpu_usage_ratio', cpu.load, { device })]),
    ...(memory === null ? [] : space(memory, { free: 'elder_memory_available_bytes', total: 'elder_memory_total_bytes', used: 'elder_memory_usage_ratio' }, device)),
    ...(disk === null ? [] : space(disk, { free: 'elder_disk_available_bytes', total: 'elder_disk_size_bytes', used: 'elder_disk_usage_ratio' }, device)),
    one('elder_build_slots', slots.total, { device }), one('elder_build_slots_free', slots.free, { device }),
    ...(queue === undefined ? [] : [one('elder_build_queue_length', queue, { device })]),
  ]
}

function space ({ totalBytes, freeBytes }: { totalBytes: number, freeBytes: number }, names: { free: MetricName, total: MetricName, used: MetricName }, device: string): Sample[] {
  if (totalBytes <= 0) return []
  return [one(names.free, freeBytes, { device }), one(names.total, totalBytes, { device }), one(names.used, Math.max(0, 1 - freeBytes / totalBytes), { device })]
}

function stackSamples ({ name: stack, entries, copies, mirrors }: StackStatus): Sample[] {
  const remotes = new Map(mirrors.map(mirror => [remoteLabel(mirror.url), mirror]))
  return [
    one('elder_stack_entries', entries, { stack }), one('elder_stack_copies', copies, { stack }),
    ...[...remotes].flatMap(([remote, { state, lastPush }]) => [
      one('elder_stack_git_push_timestamp_seconds', lastPush === null ? 0 : Date.parse(lastPush) / 1000, { stack, remote }), one('elder_stack_mirrored', state === 'ok' ? 1 : 0, { stack, remote }),
    ]),
  ]
}

/** Host and path of a remote: what may stand in a monitoring system that others read. */
export function remoteLabel (url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed !== undefined) return `${parsed.protocol}//${parsed.host}${parsed.pathname}`
  return url.replace(/^[^/]*@/, '').replace(/[?#].*$/s, '')
}

function alertSamples (problems: readonly Problem[], codes: readonly string[]): Sample[] {
  const firing = new Map<string, number>(codes.map(code => [code, 0]))
  for (const { code } of problems) firing.set(code, (firing.get(code) ?? 0) + 1)
  return [...firing].map(([code, count]) => one('elder_alert', count, { code }))
}

function one (name: MetricName, value: number, labels: MetricLabels = {}): Sample { return { name, labels, value } }
