/** The mesh as the running node sees it: membership, versions, clocks, local discovery, git and the mirrors, its own problems. */
import { milliseconds } from '../render/units.ts'
import { fail, ok, skip, warn } from './check.ts'
import type { Check, Finding } from './check.ts'
import type { Facts } from './facts.ts'

/** Tickets live minutes: a clock that is off by a minute is noticed by people. */
const CLOCK_WARN_MS = 5_000
const CLOCK_FAIL_MS = 60_000
/** Said by a check of its own. */
const ELSEWHERE = new Set(['DISK_LOW', 'VERSION_SKEW', 'GIT_MISSING', 'ENGINE_UNAVAILABLE', 'ROSTER_DAMAGED', 'STACK_NAMELESS'])

export const MESH: Check[] = [
  { name: 'mesh', decide: membership },
  { name: 'admins', decide: admins },
  { name: 'devices', decide: devices },
  { name: 'reachable', decide: reachable },
  { name: 'versions', decide: versions },
  { name: 'clock of peers', decide: clocks },
  { name: 'mdns', decide: localDiscovery },
  { name: 'git', decide: git },
  { name: 'mirror', decide: mirrors },
  { name: 'problems', decide: problems },
]

function membership ({ mesh, hasMesh }: Facts): Finding {
  if (mesh !== null) return ok(`member of ${mesh.status.mesh.name} as ${mesh.status.self.name}`)
  return hasMesh ? warn('NOT_RUNNING', 'no node runs here: what needs one was skipped', 'elder-node join') : skip('no mesh here yet: elder-node join')
}

function admins ({ mesh, settings }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const count = mesh.status.devices.filter(({ role }) => role === 'admin').length
  if (count > 1) return ok(`${count} admins`)
  if (settings.recoverySaved) return ok('one admin, and you keep the recovery text')
  return warn('ONE_ADMIN', 'one admin alone: with that device the right to invite and evict is lost, unless you keep the recovery text', 'elder-node devices promote <device>; or, when the text is safe: elder-node config set recovery.saved yes')
}

function devices ({ mesh }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const { devices: all } = mesh.status
  const online = all.filter(device => device.online)
  if (all.length === 1) return ok('this device is alone so far: elder-node invite')
  if (online.length === 1) return warn('ALONE', `none of the ${all.length - 1} other devices is online`, `elder-node ping ${all.find(device => !device.online)?.name ?? '<device>'}   shows each address and what goes wrong there`)
  return ok(`${online.length} of ${all.length} online`)
}

function reachable ({ mesh }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const { reachable: reach, relays } = mesh.status.self
  if (reach === 'public') return ok('devices on other networks can dial this one')
  if (reach === 'unknown') return skip('no device on another network has tried to dial this one')
  if (relays.length > 0) return ok(`behind a router; reached through ${relays.map(({ name }) => name).join(', ')}`)
  return warn('NOT_REACHABLE', 'devices on other networks cannot dial this one, and no member passes connections on', 'Forward a port and say so: elder-node config set announce <multiaddr>; or let a device with a public address join')
}

function versions ({ mesh, program }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const { self, devices: all } = mesh.status
  if (self.version !== program.version) return warn('VERSION_OF_NODE', `the node that runs is ${self.version}, this command ${program.version}`, 'Restart the node.')
  const others = all.filter(({ version, path }) => path !== 'self' && version !== null && version !== self.version)
  if (others.length === 0) return ok(`every device that is online runs ${self.version}`)
  return warn('VERSION_SKEW', `other versions: ${others.map(({ name, version }) => `${name} ${version}`).join(', ')}`, 'Bring all devices to the same version.')
}

function clocks ({ mesh }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const offsets = mesh.diagnosis.clocks.map(({ device, aheadMs }) => ({ name: device.name, aheadMs }))
  if (offsets.length === 0) return skip('no other device has said what time it is there')
  // Most of the others are right: the middle of what they say.
  const middle = offsets.map(({ aheadMs }) => aheadMs).sort((a, b) => a - b)[Math.floor(offsets.length / 2)] ?? 0
  const off = Math.abs(middle)
  const said = `${milliseconds(off)} ${middle > 0 ? 'behind' : 'ahead of'} ${offsets.length === 1 ? offsets[0]?.name : `the other ${offsets.length}`}`
  if (off < CLOCK_WARN_MS) return ok(`${milliseconds(off)} from the others`)
  return (off >= CLOCK_FAIL_MS ? fail : warn)('CLOCK_SKEW', `this clock is ${said}: tickets expire early or late`, 'sudo timedatectl set-ntp true   on the device whose clock is wrong')
}

/** Connected on one network and never heard by mDNS: the access point keeps its clients apart, or a firewall drops multicast. */
function localDiscovery ({ mesh, settings }: Facts): Finding {
  if (mesh === null) return skip('needs the running node')
  const { mdns, connections } = mesh.diagnosis
  if (!mdns.on) return skip(settings.mdns ? 'the node was started with --no-mdns' : 'off: elder-node config set mdns yes')
  const here = mesh.status.self.addresses.map(networkOf).filter(network => network !== undefined)
  const near = connections.filter(({ address }) => here.includes(networkOf(address) ?? ''))
  if (near.length === 0) return skip('no other device is connected on this local network, so nothing shows whether mDNS works')
  const silent = near.filter(({ device }) => !mdns.found.some(({ id }) => id === device.id))
  if (silent.length === 0) return ok(`found ${near.length === 1 ? near[0]?.device.name : `all ${near.length} devices`} on this network`)
  return warn('MDNS_BLOCKED', `${silent.length} of ${near.length} devices on this network were found by address only: ${silent.map(({ device }) => device.name).join(', ')}`, 'Does the access point isolate its clients, or a firewall drop UDP 5353? Known addresses go on working; otherwise: elder-node config set announce <multiaddr>')
}

/** The first three numbers of a private IPv4 address. */
function networkOf (address: string): string | undefined {
  return /^\/ip4\/((?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.[\d.]+)\.\d+\//.exec(address)?.[1]
}

/** Of the node that runs, not of this command: a service may have another PATH than a shell. */
function git ({ git: { works, node } }: Facts): Finding {
  if (works) return ok(node ? 'the node can run git' : 'git is installed')
  const message = node ? 'the node cannot run git: nothing in its PATH works' : 'no git here'
  const fix = node ? 'sudo apt install git; or start the node with a PATH that has it' : 'sudo apt install git'
  return warn('GIT_MISSING', `${message}. Without it a device offers no build slots and sends no source, and mirrors go over http and https alone`, fix)
}

function mirrors ({ remotes, git }: Facts): Finding | Finding[] {
  if (remotes === null) return skip('needs the running node')
  if (remotes.length === 0) return skip('no stack has a git remote: elder-node stack remote add --all <git url>')
  if (!git.works) return skip(`${remotes.length} remotes; without git they are tried by the node alone`)
  return remotes.map(({ url, fault }) => fault === null ? ok(`${url} can be read`) : fail(fault.code, fault.message, fault.fix))
}

function problems ({ mesh }: Facts): Finding | Finding[] {
  if (mesh === null) return skip('needs the running node')
  const open = mesh.status.problems.filter(({ code }) => !ELSEWHERE.has(code))
  return open.length === 0 ? ok('the node knows of none') : open.map(({ code, message, fix }) => warn(code, message, fix))
}
