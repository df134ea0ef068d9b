/** Which ports a node listens on: a port 0 is chosen at the first start and kept; one that another program took is replaced. */
import type { NodeConfig } from './node-config.ts'
import { freePort, isTaken } from './free-ports.ts'
import { portHolder, type PortHolder } from './port-holder.ts'

type Ports = NodeConfig['ports']

/** A kept port that another program holds now; `to` is 0 when the system chooses. */
export interface MovedPort { from: number, to: number, holder: PortHolder | undefined }

export interface ChosenPorts {
  /** The addresses to listen on. */
  listen: string[]
  /** What to keep: each address as it was asked for, with its port. */
  ports: Ports
  moved: MovedPort[]
}

/** Where a node listens when nobody says, if it is free at the first start. */
const DEFAULT_PORT = 4707
const ANY_PORT = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']
const CHOSEN = /^\/ip[46]\/([^/]+)\/tcp\/0$/

/** @param asked multiaddrs; undefined when nobody says: every interface, on one port. A port that is named is left as it is. */
export async function choosePorts (asked: string[] | undefined, kept: Ports, random: () => number): Promise<ChosenPorts> {
  const chosen: ChosenPorts = { listen: [], ports: { ...kept }, moved: [] }
  const groups = asked === undefined ? [ANY_PORT] : asked.map(address => [address])
  for (const group of groups) await choose(group, { preferred: asked === undefined ? DEFAULT_PORT : 0, random }, chosen)
  return chosen
}

/** After a start: the ports that the system chose. */
export function keepPorts ({ ports }: ChosenPorts, asked: string[] | undefined, actual: string[]): Ports {
  const kept = { ...ports }
  for (const address of asked ?? ANY_PORT) {
    const protocol = CHOSEN.test(address) ? address.slice(0, 4) : undefined
    const found = protocol === undefined ? undefined : actual.find(text => text.startsWith(`${protocol}/`))
    const port = Number(/\/tcp\/(\d+)/.exec(found ?? '')?.[1])
    if ((kept[address] ?? 0) === 0 && port > 0) kept[address] = port
  }
  return kept
}

/** One port for all addresses of a group. */
async function choose (group: string[], { preferred, random }: { preferred: number, random: () => number }, into: ChosenPorts): Promise<void> {
  const hosts = group.map(address => CHOSEN.exec(address)?.[1])
  if (hosts.includes(undefined)) {
    into.listen.push(...group)
    return
  }
  const kept = group.map(address => into.ports[address]).find(port => port !== undefined && port > 0)
  const wished = kept ?? preferred
  const port = wished > 0 && !await isTakenAt(hosts as string[], wished) ? wished : await freePort(hosts[0] as string, random)
  if (kept !== undefined && port !== kept) into.moved.push({ from: kept, to: port, holder: await portHolder(kept) })
  for (const address of group) {
    into.ports[address] = port
    into.listen.push(address.replace(/\/0$/, `/${port}`))
  }
}

async function isTakenAt (hosts: string[], port: number): Promise<boolean> {
  for (const host of hosts) if (await isTaken(host, port)) return true
  return false
}
