/** What a node may be told when it is made, and the settings it keeps in its data directory. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname } from 'node:os'
import { writeAtomic } from './adapters/files.ts'
import type { EngineChoice } from './adapters/engines.ts'
import type { Engine } from './ports/engine.ts'
import type { Sensors } from './ports/host.ts'
import type { Logger } from './ports/log.ts'

export interface NodeInit {
  /** Data directory. @default `ELDER_NODE_DIR`, else `elder-node` below the XDG state directory */
  dir?: string
  /** Joins with this ticket; ignored by a device that is a member already. Without one a directory without a mesh founds one. */
  ticket?: string
  /** The name this device wishes for. @default the host name */
  name?: string
  /** The name of a mesh that is founded here. @default 'home' */
  meshName?: string
  /** Multiaddrs to listen on; a port 0 is kept after the first start. @default port 4707, or a free one when it is taken at the first start */
  listen?: string[]
  /** Multiaddrs to tell others instead of those of the interfaces: a VPN address, a forwarded port. */
  announce?: string[]
  /** Builds at once. @default a quarter of the cores, at least 1; 0 without an engine or on battery */
  slots?: number
  /** `process` has no isolation and is never chosen by itself. An object of the Engine port is used as it is. @default 'auto' */
  engine?: EngineChoice | Engine
  /** Folder of build trees; see the process engine. */
  engineRoot?: string
  /** Look for members on the local network, in clear text. @default true */
  mdns?: boolean
  /** Author of what this program writes, besides the device. */
  agent?: string
  /** How long admission with a ticket may take, milliseconds. @default 60_000 */
  timeoutMs?: number
  /** Share of builds that try a builder unused for ten minutes. @default 0.02 */
  explore?: number
  /** How long a changed stack rests before it is pushed, and at most, milliseconds. @default { idle: 30_000, max: 300_000 } */
  mirrorDelayMs?: { idle: number, max: number }
  /** Readings of the machine. @default this machine's */
  sensors?: Sensors
  /** @default silent */
  log?: Logger
  /** Ends the start; a started node ends with `stop()`. */
  signal?: AbortSignal
}

export const DEFAULT_PORT = 4707

/** Settings that are made once and kept: `config.json`. */
export interface Settings {
  /** Multiaddr as asked for, with the port 0 that was given by the system in its place. */
  ports: Record<string, number>
}

export function readSettings (path: string): Settings {
  try {
    const { ports } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Settings>
    return { ports: typeof ports === 'object' && ports !== null ? ports : {} }
  } catch {
    // Missing at the first start; a damaged file costs a new port and nothing else.
    return { ports: {} }
  }
}

export function writeSettings (path: string, settings: Settings): void {
  writeAtomic(path, new TextEncoder().encode(`${JSON.stringify(settings, null, 2)}\n`))
}

const ANY_PORT = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/** Where a node listens when nobody says: every interface, on port {@link DEFAULT_PORT} if it is free at the first start. */
export async function defaultListen (settings: Settings): Promise<string[]> {
  const known = ANY_PORT.some(address => settings.ports[address] !== undefined)
  if (known || !await isFree(DEFAULT_PORT)) return ANY_PORT
  for (const address of ANY_PORT) settings.ports[address] = DEFAULT_PORT
  return ANY_PORT
}

function isFree (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', () => { resolve(false) })
    probe.listen({ port, exclusive: true }, () => { probe.close(() => { resolve(true) }) })
  })
}

/** The addresses to listen on: a port 0 becomes the one this directory was given at its first start. */
export function listenAddresses (asked: string[], settings: Settings): string[] {
  return asked.map(address => {
    const port = settings.ports[address]
    return port === undefined ? address : address.replace(/\/(tcp|udp)\/0\b/, `/$1/${port}`)
  })
}

/** The settings after a start: which port each `.../tcp/0` became. */
export function keepPorts (asked: string[], actual: string[], settings: Settings): Settings {
  const ports = { ...settings.ports }
  for (const address of asked) {
    const protocol = /^(\/ip[46])\/[^/]+\/tcp\/0\b/.exec(address)?.[1]
    const found = protocol === undefined ? undefined : actual.find(text => text.startsWith(`${protocol}/`))
    const port = Number(/\/tcp\/(\d+)/.exec(found ?? '')?.[1])
    if (ports[address] === undefined && port > 0) ports[address] = port
  }
  return { ports }
}

export function deviceNameOf (init: NodeInit): string { return init.name ?? (hostname().split('.')[0] || 'device') }
