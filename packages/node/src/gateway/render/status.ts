/** One screen that answers "is it fine?": devices, builds, memory, problems last. */
import type { BuildStatus, DeviceStatus, MirrorStatus, StackStatus, Status } from '../../api.ts'
import type { Paint } from './style.ts'
import { table, WIDTH } from './table.ts'
import type { Cell, Column } from './table.ts'
import { age, ago, clock, milliseconds, percent, plain } from './units.ts'
import { fitTo, widthOf, wrap } from './width.ts'

export interface StatusOptions {
  /** Columns. @default 80 */
  width?: number
  /** Addresses, folder and engine of this device too. */
  verbose?: boolean
}

const RUNNING = new Set(['electing', 'sending', 'running', 'returning'])
const STACKS_SHOWN = 6
/** A disk or memory as full as that is marked. */
const FULL = 0.9

const COLUMNS: Column[] = [
  { title: 'DEVICE', flexible: true }, { title: 'RTT', align: 'right' }, { title: 'PATH' }, { title: 'CPU', align: 'right' }, { title: 'MEM', align: 'right' },
  { title: 'DISK', align: 'right' }, { title: 'SLOTS', align: 'right' }, { title: 'DOING', flexible: true, wanted: 16 }, { title: 'SEEN', align: 'right' },
]

export function renderStatus (status: Status, paint: Paint, nowMs: number, { width = WIDTH, verbose = false }: StatusOptions = {}): string {
  const { self, devices } = status
  return [
    head(status, paint, width), ...verbose ? details(status) : [],
    ...renderDevices(devices, status.builds, self.id, paint, nowMs, width),
    ...builds(status, paint), ...stacks(status.stacks, paint, nowMs, width), ...renderProblems(status.problems, paint, width),
  ].join('\n')
}

export function renderDevices (devices: DeviceStatus[], builds: BuildStatus[], self: string, paint: Paint, nowMs: number, width: number = WIDTH): string[] {
  return table(COLUMNS, devices.map((device) => row(device, builds, self, nowMs)), paint, width)
}

function head ({ mesh, self, devices }: Status, paint: Paint, width: number): string {
  const online = devices.filter((device) => device.online).length
  const facts = `   ${online} of ${devices.length} devices online   here: ${fitTo(plain(self.name), 20)}   v${plain(self.version)}`
  return `mesh ${paint('bold', fitTo(plain(mesh.name), Math.max(8, width - 5 - widthOf(facts))))}${facts}`
}

function details ({ self }: Status): string[] {
  return [`  data ${plain(self.dir)}   pid ${self.pid}   engine ${plain(self.engineNote)}`, ...self.addresses.map((address) => `  ${plain(address)}`)]
}

function row (device: DeviceStatus, builds: BuildStatus[], self: string, nowMs: number): Array<string | Cell> {
  const { cpu, memory, disk, slots, online } = device
  const used = (of: { totalBytes: number, freeBytes: number } | null): string | Cell => {
    if (of === null || !online) return '-'
    const text = percent(of.totalBytes - of.freeBytes, of.totalBytes)
    return of.freeBytes < (1 - FULL) * of.totalBytes ? { text: `${text}!`, format: 'yellow' } : text
  }
  return [
    { text: device.id === self ? `${device.name} *` : device.name, ...(online ? {} : { format: 'dim' as const }) },
    device.rttMs === null || !online || device.path === 'self' ? '-' : milliseconds(device.rttMs).replace(' ', ''),
    online ? device.path : { text: 'down', format: 'red' },
    cpu === null || !online ? '-' : percent(cpu.load, 1),
    used(memory), used(disk),
    slots.total === 0 || !online ? '-' : `${slots.free}/${slots.total}`,
    online ? doing(device, builds, nowMs) : '-',
    device.suspect === true ? { text: 'suspect', format: 'yellow' } : online ? 'now' : age(device.lastSeen, nowMs),
  ]
}

function doing (device: DeviceStatus, builds: BuildStatus[], nowMs: number): string {
  const mine = builds.filter((build) => build.builder?.id === device.id && RUNNING.has(build.state))
  const first = mine[0]
  if (first !== undefined) return `build ${first.id.slice(0, 4)} ${clock(first.startedAt, nowMs)}${mine.length > 1 ? ` +${mine.length - 1}` : ''}`
  if (device.slots.total === 0) return '-'
  // Who asked for a build is told where it goes; of the builds of others only the slots are known.
  const taken = device.slots.total - device.slots.free
  if (taken > 0) return `${taken} for others`
  return device.engine === 'process' ? 'idle, unisolated' : 'idle'
}

function builds ({ builds: all, devices }: Status, paint: Paint): string[] {
  const queued = all.filter((build) => build.state === 'queued').length
  const running = all.filter((build) => RUNNING.has(build.state)).length
  const offered = devices.some(({ online, slots }) => online && slots.total > 0)
  const lines = [`${paint('dim', 'builds')}   ${running} running, ${queued} queued`]
  return offered ? lines : [...lines, '         no device here takes builds: elder-node doctor']
}

/** Those that are worst off first. */
function stacks (all: StackStatus[], paint: Paint, nowMs: number, width: number): string[] {
  if (all.length === 0) return [`${paint('dim', 'memory')}   no stack yet`]
  const sorted = all.toSorted((a, b) => Number(isMirrored(a)) - Number(isMirrored(b)) || a.copies - b.copies)
  const shown = sorted.slice(0, STACKS_SHOWN).map((stack, i) => `${paint('dim', i === 0 ? 'memory' : '      ')}   ${fitTo(oneStack(stack, nowMs), width - 9)}`)
  return all.length > STACKS_SHOWN ? [...shown, `         and ${all.length - STACKS_SHOWN} more: elder-node stack list`] : shown
}

function isMirrored ({ mirrors }: StackStatus): boolean { return mirrors.every(({ state }) => state === 'ok') }

function oneStack (stack: StackStatus, nowMs: number): string {
  return `${fitTo(plain(stack.name), 28)}: ${stack.entries} ${stack.entries === 1 ? 'entry' : 'entries'}, ${stack.copies} ${stack.copies === 1 ? 'copy' : 'copies'}, ${mirrors(stack.mirrors, nowMs)}${stack.archived ? ', archived' : ''}`
}

function mirrors (all: MirrorStatus[], nowMs: number): string {
  if (all.length === 0) return 'no mirror'
  const texts = Map.groupBy(all, mirror => mirrorText(mirror, nowMs))
  return [...texts].map(([text, same]) => same.length === 1 ? text : `${text} (${same.length} remotes)`).join('; ')
}

/** "Mirrored" is said only of a remote that holds everything, as the last look at it showed. */
function mirrorText ({ state, lastPush, message }: MirrorStatus, nowMs: number): string {
  const pushed = lastPush === null ? '' : ago(lastPush, nowMs)
  if (state === 'ok') return pushed === '' ? 'mirrored' : `mirrored ${pushed}`
  if (state === 'never' && message === null) return 'not mirrored yet'
  return `mirror ${state === 'failing' ? 'failing' : 'behind'}${pushed === '' ? '' : `, pushed ${pushed}`}`
}

/** With its fix on the same line where both fit. A fix that is a command is never broken: it is there to be copied. */
export function renderProblems (problems: Status['problems'], paint: Paint, width: number = WIDTH): string[] {
  return problems.flatMap(({ message, fix }) => {
    const [mark, what, how] = [paint('yellow', '!'), plain(message), plain(fix)]
    if (how === '') return wrap(`${mark} ${what}`, width, '  ')
    const line = `${mark} ${what}   ${paint('dim', 'fix:')} ${how}`
    const below = `  ${paint('dim', 'fix:')} ${how}`
    return widthOf(line) <= width ? [line] : [...wrap(`${mark} ${what}`, width, '  '), ...how.includes('elder-node ') ? [below] : wrap(below, width, '       ')]
  })
}
