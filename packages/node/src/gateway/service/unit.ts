/** The systemd unit of a node. Pure: a plan in, the text of the file out. */
import { ElderError } from '@elder-node/protocol'
import { entryOf, SYSTEM_USER } from './plan.ts'
import type { Plan } from './plan.ts'

/** Engines whose builds are no children of the node: only there can the node itself be locked in without locking in the builds. */
const APART = new Set(['none', 'docker', 'podman'])

/** Holds for every engine. Never MemoryDenyWriteExecute: V8 writes machine code, and Node ends at its first line. */
const ALWAYS = ['LockPersonality=yes', 'ProtectClock=yes', 'ProtectHostname=yes', 'ProtectKernelModules=yes', 'RestrictRealtime=yes', 'SystemCallArchitectures=native']

/** A node that starts no build by itself needs little of the machine. */
const LOCKED_IN = [
  'CapabilityBoundingSet=', 'NoNewPrivileges=yes', 'PrivateDevices=yes', 'ProtectControlGroups=yes', 'ProtectHome=yes', 'ProtectKernelLogs=yes',
  'ProtectKernelTunables=yes', 'ProtectProc=invisible', 'ProtectSystem=strict', 'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK', 'RestrictNamespaces=yes', 'RestrictSUIDSGID=yes', 'MemoryHigh=512M',
]

/** @param groups further groups of the user, `docker` for its socket. @throws ElderError `SERVICE_PATH`, `SETTING_VALUE` */
export function renderUnit (plan: Plan, { groups = [] }: { groups?: string[] } = {}): string {
  const system = plan.scope === 'system'
  // From a settings.json that the service itself may write: a line end would let it put a line of its own into a unit that root writes.
  if (!/^[a-z]+$/.test(plan.engine)) throw new ElderError('SETTING_VALUE', `${JSON.stringify(plan.engine.slice(0, 80))} in settings.json is no engine.`, `elder-node config set engine auto --dir ${plan.dir}`)
  const ticket = !plan.ticket ? [] : ['--ticket-file', system ? '%d/ticket' : word(plan.ticketPath)]
  const lines = [
    '[Unit]',
    'Description=elder-node: builds and memory shared by the devices of its owner',
    ...system ? ['Wants=network-online.target', 'After=network-online.target docker.service podman.socket'] : [],
    '# It works without a network and comes back after every fault: no limit to the starts.',
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=exec',
    '# --json: what a new mesh tells its founder alone must not stand in the journal.',
    `ExecStart=${[word(plan.node), word(entryOf(plan)), 'join', '--no-input', '--json', '--dir', word(plan.dir), ...ticket].join(' ')}`,
    'Restart=always',
    '# But a clean end is meant: the device left its mesh, or somebody ended the node. Started again it would found another mesh.',
    'RestartPreventExitStatus=0',
    'RestartSec=10s',
    '# The node stops its builds in order; what is left after the time is killed with it.',
    'KillMode=mixed',
    'TimeoutStopSec=30s',
    'UMask=0077',
    ...system ? systemLines(plan, groups) : ['# No sandbox here: a user\'s systemd cannot make one without the namespaces that builds need themselves.'],
    '',
    '[Install]',
    `WantedBy=${system ? 'multi-user.target' : 'default.target'}`,
    '',
  ]
  return lines.join('\n')
}

function systemLines ({ engine, ticket, ticketPath, dir }: Plan, groups: string[]): string[] {
  return [
    `User=${SYSTEM_USER}`, `Group=${SYSTEM_USER}`,
    ...groups.length === 0 ? [] : [`SupplementaryGroups=${groups.join(' ')}`],
    ...ticket ? [`LoadCredential=ticket:${value(ticketPath)}`] : [],
    ...ALWAYS,
    ...APART.has(engine)
      ? [`# The engine "${engine}" runs builds outside of this unit, so the node is locked in.${groups.includes('docker') ? ' The group docker is as good as root.' : ''}`, ...LOCKED_IN, // Build trees are made in the temporary folder and mounted from there by the engine: a private one it would not see.
        `ReadWritePaths="${value(dir)}" /tmp /var/tmp`]
      : [`# The engine "${engine}" may run builds as children of the node: no memory limit and no sandbox here, they need namespaces and /proc. Each build has its own.`, 'ProtectSystem=full', 'Delegate=yes'],
  ]
}

/** The path of ExecStart's program in a unit that this module wrote; undefined for any other text. */
export function entryIn (unit: string): string | undefined {
  return /^ExecStart=(?:"[^"]*"|\S+) (?:"([^"]*)"|(\S+)) join /m.exec(unit)?.slice(1).find(part => part !== undefined)?.replaceAll('%%', '%')
}

/** One word of a command line, as systemd reads it. @throws ElderError `SERVICE_PATH` */
function word (text: string): string {
  const escaped = value(text).replaceAll('$', '$$$$')
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`
}

/** A value of a unit: `%` begins a specifier. Quotes and line ends would begin something else, so paths must not have them. @throws ElderError `SERVICE_PATH` */
function value (text: string): string {
  if (/["'\\\p{Cc}]/u.test(text)) throw new ElderError('SERVICE_PATH', `${JSON.stringify(text)} cannot stand in a systemd unit: it holds quotes, a backslash or control characters.`, 'Choose another place with --dir.', { path: text })
  return text.replaceAll('%', '%%')
}
