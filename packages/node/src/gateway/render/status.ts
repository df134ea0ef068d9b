/** One screen that answers "is it fine?": devices, builds, memory, problems last. */
import type { BuildStatus, DeviceStatus, MirrorStatus, StackStatus, Status } from '../../api.ts'
import type { Paint } from './style.ts'
import { table } from './table.ts'
import type { Cell, Column } from './table.ts'
import { ago, clock, milliseconds, percent, plain } from './units.ts'

const RUNNING = new Set(['electing', 'sending', 'running', 'returning'])
const STACKS_SHOWN = 12

const COLUMNS: Column[] = [
  { title: 'DEVICE', flexible: true }, { title: 'RTT', align: 'right' }, { title: 'PATH' }, { title: 'CPU', align: 'right' }, { title: 'MEM', align: 'right' },
  { title: 'DISK', align: 'right' }, { title: 'SLOTS', align: 'right' }, { title: 'DOING', flexible: true }, { title: 'SEEN', align: 'right' },
]

export function renderStatus (status: Status, paint: Paint, nowMs: number): string {
  const online = status.devices.filter((device) => device.online).length
  const head = `mesh ${paint('bold', plain(status.mesh.name))}   ${online} of ${status.devices.length} devices online   here: ${plain(status.self.name)}   v${plain(status.self.version)}`
  return [head, ...renderDevices(status.devices, status.builds, status.self.id, paint, nowMs), ...builds(status, paint), ...stacks(status.stacks, paint, nowMs), ...problems(status, paint)].join('\n')
}

export function renderDevices (devices: DeviceStatus[], builds: BuildStatus[], self: string, paint: Paint, nowMs: number): string[] {
  return table(COLUMNS, devices.map((device) => row(device, builds, self, nowMs)), paint)
}

function row (device: DeviceStatus, builds: BuildStatus[], self: string, nowMs: number): Array<string | Cell> {
  const { cpu, memory, disk, slots } = device
  const live = device.online
  return [
    { text: device.id === self ? `${device.name} *` : device.name, ...(live ? {} : { format: 'dim' as const }) },
    device.rttMs === null || !live || device.path === 'self' ? '-' : milliseconds(device.rttMs).replace(' ', ''),
    live ? device.path : { text: 'down', format: 'red' },
    cpu === null || !live ? '-' : percent(cpu.load, 1),
    memory === null || !live ? '-' : percent(memory.totalBytes - memory.freeBytes, memory.totalBytes),
    disk === null || !live ? '-' : percent(disk.totalBytes - disk.freeBytes, disk.totalBytes),
    slots.total === 0 || !live ? '-' : `${slots.free}/${slots.total}`,
    live ? doing(device, builds, nowMs) : '-',
    live ? 'now' : ago(device.lastSeen, nowMs),
  ]
}

function doing (device: DeviceStatus, builds: BuildStatus[], nowMs: number): string {
  const mine = builds.filter((build) => build.builder?.id === device.id && RUNNING.has(build.state))
  const first = mine[0]
  if (first !== undefined) return `build ${first.id.slice(0, 6)} ${clock(first.startedAt, nowMs)}${mine.length > 1 ? ` +${mine.length - 1}` : ''}`
  if (device.slots.total === 0) return '-'
  return device.engine === 'process' ? 'idle (no isolation)' : 'idle'
}

function builds ({ builds: all, devices }: Status, paint: Paint): string[] {
  const queued = all.filter((build) => build.state === 'queued').length
  const running = all.filter((build) => RUNNING.has(build.state)).length
  const offered = devices.some(({ online, slots }) => online && slots.total > 0)
  const lines = [`${paint('dim', 'builds')}   ${running} running, ${queued} queued`]
  return offered ? lines : [...lines, '         no device here takes builds: elder-node join --engine process --slots 1']
}

function stacks (all: StackStatus[], paint: Paint, nowMs: number): string[] {
  if (all.length === 0) return [`${paint('dim', 'memory')}   no stack yet`]
  const shown = all.slice(0, STACKS_SHOWN).map((stack, i) =>
    `${paint('dim', i === 0 ? 'memory' : '      ')}   ${plain(stack.name)}: ${stack.entries} ${stack.entries === 1 ? 'entry' : 'entries'}, ${stack.copies} ${stack.copies === 1 ? 'copy' : 'copies'}, ${mirrors(stack.mirrors, nowMs)}${stack.archived ? ', archived' : ''}`)
  return all.length > STACKS_SHOWN ? [...shown, `         and ${all.length - STACKS_SHOWN} more: elder-node stack list`] : shown
}

function mirrors (all: MirrorStatus[], nowMs: number): string {
  if (all.length === 0) return 'no mirror'
  return all.map((mirror) => mirror.state === 'failing' ? `mirror failing${mirror.lastPush === null ? '' : `, pushed ${ago(mirror.lastPush, nowMs)}`}`
    : mirror.lastPush === null ? mirror.message === null ? 'not mirrored yet' : 'mirror behind' : `mirrored ${ago(mirror.lastPush, nowMs)}${mirror.state === 'behind' ? ' (behind)' : ''}`).join('; ')
}

function problems (status: Status, paint: Paint): string[] {
  return status.problems.map(({ message, fix }) => `${paint('yellow', '!')} ${plain(message)}${fix === '' ? '' : `\n  ${paint('dim', 'fix:')} ${plain(fix)}`}`)
}
