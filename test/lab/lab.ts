/**
 * Real networks on one machine (Linux, root): each host is a network namespace with one cable to a switch that lives in a
 * namespace of its own, so the machine's own network is never touched. A cable is taken out by unplugging it from its bridge:
 * silence without a sign at either end, as when a router dies. Plain functions: tests and bench use the same.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { rootName } from '../../packages/node/src/adapters/engine-common/root.ts'

const run = promisify(execFile)
const PREFIX = 'elder-lab'
/** Where a root's process engine keeps the trees of builds. */
const BUILD_ROOTS = '/var/lib/elder-node'
const NAMESPACES = '/run/netns'
/** `elder-lab-<pid>-<start time of that process>-...`: whose it is, also after the pid was given to another process. */
const NAME = new RegExp(`^${PREFIX}-(\\d+)-(\\d+)-`)
const ETHERNET = 'eth0'
/** Every host on one side, and one bridge for the other side of a partition. */
type Side = 'side-a' | 'side-b'

/** `port` is the other end of its cable, in the namespace `switch`. */
export interface Host { readonly name: string, readonly namespace: string, readonly port: string, switch: string }

/** A network behind a router: see {@link Lab.home}. */
export interface Home { readonly router: Host, readonly gateway: string }
const HOME_BRIDGE = 'lan'

const ROUTER_RULES = `
table ip home {
  chain before { type nat hook prerouting priority -100; }
  chain after { type nat hook postrouting priority 100; oifname ${ETHERNET} masquerade; }
  chain through {
    type filter hook forward priority 0; policy accept;
    iifname ${ETHERNET} ct state established,related accept
    iifname ${ETHERNET} drop
  }
  chain in {
    type filter hook input priority 0; policy accept;
    iifname ${ETHERNET} ct state established,related accept
    iifname ${ETHERNET} drop
  }
}`

let labs = 0

/** One switch and its hosts. Everything is gone after {@link down}; what a killed run left is gone after {@link sweepDeadLabs}. */
export class Lab {
  /** Removed with the lab: data directories of its devices. */
  readonly dir: string
  readonly #id: string
  readonly #hosts: Host[] = []

  constructor (id: string, dir: string) {
    this.#id = id
    this.dir = dir
  }

  get #switch (): string { return `${this.#id}-sw` }

  static async up (): Promise<Lab> {
    const id = `${PREFIX}-${process.pid}-${startTime(process.pid)}-${labs++}`
    const lab = new Lab(id, mkdtempSync(join(tmpdir(), `${id}-`)))
    await ip('netns', 'add', lab.#switch)
    for (const side of ['side-a', 'side-b']) {
      // Snooping drops multicast that nobody subscribed to, and nobody answers for a switch without a querier: mDNS would be deaf.
      await ip('-n', lab.#switch, 'link', 'add', side, 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0')
      await ip('-n', lab.#switch, 'link', 'set', side, 'up')
    }
    return lab
  }

  /** `addresses` with their prefix lengths: `10.99.0.2/16`, `fd99::2/64`. */
  async host (name: string, ...addresses: string[]): Promise<Host> {
    const host = await this.#cabled(name, this.#switch, 'side-a')
    await this.#address(host, addresses)
    return host
  }

  /**
   * A home network: a router with one address on the outside and one, with its prefix length, on the inside, which translates addresses
   * as home routers do (source ports kept where they are free), lets answers in, and drops whatever nobody inside has asked for.
   */
  async home (name: string, outside: string, inside: string): Promise<Home> {
    const router = await this.host(name, outside)
    const at = ['-n', router.namespace]
    await ip(...at, 'link', 'add', HOME_BRIDGE, 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0')
    await ip(...at, 'addr', 'add', inside, 'dev', HOME_BRIDGE)
    await ip(...at, 'link', 'set', HOME_BRIDGE, 'up')
    await run(...onHost(router, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']))
    await run(...onHost(router, ['nft', ROUTER_RULES]))
    return { router, gateway: inside.split('/')[0] ?? '' }
  }

  /** A host inside of a home. */
  async hostAt (home: Home, name: string, address: string): Promise<Host> {
    const host = await this.#cabled(name, home.router.namespace, HOME_BRIDGE)
    await this.#settle(host, home, address)
    return host
  }

  /** The host is carried into another home: other cable, other address, the old one gone at once. */
  async carry (host: Host, home: Home, address: string): Promise<void> {
    await ip('-n', host.switch, 'link', 'set', host.port, 'netns', home.router.namespace)
    host.switch = home.router.namespace
    await ip('-n', host.switch, 'link', 'set', host.port, 'master', HOME_BRIDGE, 'up')
    await ip('-n', host.namespace, 'addr', 'flush', 'dev', ETHERNET, 'scope', 'global')
    await this.#settle(host, home, address)
  }

  /** The owner of the router forwards one TCP port to a host inside. */
  async forward (home: Home, port: number, to: string): Promise<void> {
    await run(...onHost(home.router, ['nft', `add rule ip home before iifname ${ETHERNET} tcp dport ${port} dnat to ${to}:${port}`]))
    await run(...onHost(home.router, ['nft', `insert rule ip home through iifname ${ETHERNET} ip daddr ${to} tcp dport ${port} accept`]))
  }

  /** Nothing goes through, nobody is told. */
  async cut (...hosts: Host[]): Promise<void> {
    await Promise.all(hosts.map(host => ip('-n', host.switch, 'link', 'set', host.port, 'nomaster')))
  }

  async heal (...hosts: Host[]): Promise<void> { await this.#plug(hosts, 'side-a') }

  /** These hosts hear each other and nobody else, until they are healed. */
  async partition (...hosts: Host[]): Promise<void> { await this.#plug(hosts, 'side-b') }

  /** The laptop is carried to another network: other addresses, the old ones gone at once. */
  async move (host: Host, ...addresses: string[]): Promise<void> {
    await ip('-n', host.namespace, 'addr', 'flush', 'dev', ETHERNET, 'scope', 'global')
    await this.#address(host, addresses)
  }

  /** The interface goes down at the host's own end: it knows that it has no network. */
  async interfaceDown (host: Host): Promise<void> { await ip('-n', host.namespace, 'link', 'set', ETHERNET, 'down') }

  async interfaceUp (host: Host): Promise<void> {
    await ip('-n', host.namespace, 'link', 'set', ETHERNET, 'up')
    await this.#defaultRoute(host)
  }

  /** An interface that leads nowhere, as container engines make them. */
  async bridge (host: Host, name: string, address: string): Promise<void> {
    await ip('-n', host.namespace, 'link', 'add', name, 'type', 'bridge')
    // A bridge without a port has no carrier, and then it is not listed.
    await ip('-n', host.namespace, 'link', 'add', 'inner0', 'type', 'veth', 'peer', 'name', 'inner1')
    await ip('-n', host.namespace, 'link', 'set', 'inner0', 'master', name, 'up')
    await ip('-n', host.namespace, 'link', 'set', 'inner1', 'up')
    await ip('-n', host.namespace, 'addr', 'add', address, 'dev', name)
    await ip('-n', host.namespace, 'link', 'set', name, 'up')
  }

  /** Ends what still runs in the hosts, and takes everything away. Never rejects. */
  async down (): Promise<void> {
    await removeNamespaces([...this.#hosts.map(host => host.namespace), this.#switch])
    removeData(this.dir)
  }

  async #cabled (name: string, switchNamespace: string, bridge: string): Promise<Host> {
    const host = { name, namespace: `${this.#id}-${name}`, port: `p${this.#hosts.length}`, switch: switchNamespace }
    this.#hosts.push(host)
    await ip('netns', 'add', host.namespace)
    await ip('link', 'add', host.port, 'netns', switchNamespace, 'type', 'veth', 'peer', 'name', ETHERNET, 'netns', host.namespace)
    await ip('-n', switchNamespace, 'link', 'set', host.port, 'master', bridge, 'up')
    await ip('-n', host.namespace, 'link', 'set', 'lo', 'up')
    await ip('-n', host.namespace, 'link', 'set', ETHERNET, 'up')
    return host
  }

  async #settle (host: Host, home: Home, address: string): Promise<void> {
    await ip('-n', host.namespace, 'addr', 'add', address, 'dev', ETHERNET)
    await ip('-n', host.namespace, 'route', 'replace', 'default', 'via', home.gateway)
  }

  async #plug (hosts: Host[], side: Side): Promise<void> {
    await Promise.all(hosts.map(host => ip('-n', this.#switch, 'link', 'set', host.port, 'master', side)))
  }

  async #address (host: Host, addresses: string[]): Promise<void> {
    for (const address of addresses) await ip('-n', host.namespace, 'addr', 'add', address, 'dev', ETHERNET, ...(address.includes(':') ? ['nodad'] : []))
    await this.#defaultRoute(host)
  }

  /** Multicast leaves by the default route. */
  async #defaultRoute (host: Host): Promise<void> {
    await ip('-n', host.namespace, 'route', 'replace', 'default', 'dev', ETHERNET)
    await ip('-6', '-n', host.namespace, 'route', 'replace', 'default', 'dev', ETHERNET)
  }
}

/** The command line that runs a program on a host. nsenter, not `ip netns exec`: that mounts a fresh /sys and hides the control groups. */
export function onHost (host: Host, command: string[]): [program: string, args: string[]] {
  return ['nsenter', [`--net=${join(NAMESPACES, host.namespace)}`, ...command]]
}

/** Why no lab can be made here; undefined when it can. */
export async function labUnavailable (): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces are a Linux thing'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const name = `${PREFIX}-${process.pid}-${startTime(process.pid)}-try`
  try {
    await run('nsenter', ['--version'])
    await ip('netns', 'add', name)
    await ip('-n', name, 'link', 'add', 'side-a', 'type', 'bridge')
    return undefined
  } catch (error) {
    return `no network namespaces with bridges here: ${(error as Error).message.trim().split('\n').at(-1) ?? ''}`
  } finally {
    await ip('netns', 'del', name).catch(() => {})
  }
}

/** Why no router can be made here; undefined when it can. For machines that can make a lab. */
export async function routersUnavailable (): Promise<string | undefined> {
  const name = `${PREFIX}-${process.pid}-${startTime(process.pid)}-nat`
  try {
    await ip('netns', 'add', name)
    await run('nsenter', [`--net=${join(NAMESPACES, name)}`, 'nft', ROUTER_RULES])
    return undefined
  } catch (error) {
    return `no address translation here (nftables): ${(error as Error).message.trim().split('\n').at(-1) ?? ''}`
  } finally {
    await ip('netns', 'del', name).catch(() => {})
  }
}

/** Takes away what runs that were killed left behind. The first step of every run. */
export async function sweepDeadLabs (): Promise<void> {
  await removeNamespaces(listed(NAMESPACES).filter(isDead))
  for (const name of listed(tmpdir()).filter(isDead)) removeData(join(tmpdir(), name))
}

/** The processes of a host. */
export async function pidsOn ({ namespace }: Pick<Host, 'namespace'>): Promise<number[]> {
  const { stdout } = await ip('netns', 'pids', namespace)
  return stdout.split('\n').filter(line => line !== '').map(Number)
}

async function removeNamespaces (namespaces: string[]): Promise<void> {
  await Promise.all(namespaces.map(async namespace => {
    for (const pid of await pidsOn({ namespace }).catch(() => [])) try { process.kill(pid, 'SIGKILL') } catch { /* it has just ended */ }
    await ip('netns', 'del', namespace).catch(() => {})
  }))
}

/** The data directories of a lab's devices, and the folders of builds that a killed device leaves. */
function removeData (dir: string): void {
  for (const device of listed(dir)) rmSync(join(BUILD_ROOTS, rootName(join(dir, device))), { recursive: true, force: true })
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
}

function isDead (name: string): boolean {
  const [, pid, start] = NAME.exec(name) ?? []
  return pid !== undefined && startTime(Number(pid)) !== start
}

function listed (dir: string): string[] {
  try { return readdirSync(dir) } catch { return [] }
}

/** In clock ticks since boot; undefined when there is no such process. */
function startTime (pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

async function ip (...args: string[]): Promise<{ stdout: string }> { return await run('ip', args) }
