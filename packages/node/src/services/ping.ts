/** `ping`: round trips to one device, each with the path it took; when there is none, every address and what went wrong there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, ElderError, type DeviceId } from '@elder-node/protocol'
import type { DeviceRef, PingEvent, PingOptions } from '../api.ts'
import type { CallOptions, Mesh, Tried } from '../ports/mesh.ts'

export interface PingComponents {
  mesh: Mesh
  /** By name, id or id prefix. @throws ElderError `NO_SUCH_DEVICE`, `AMBIGUOUS` */
  find: (device: string) => DeviceId
  ref: (device: DeviceId) => DeviceRef
  /** ISO 8601. */
  lastSeen: (device: DeviceId) => string | null
  /** Dials each known address by itself. */
  tryAddresses: (device: DeviceId, options: CallOptions) => Promise<Tried[]>
}

/** A probe over a connection that lives: the failure detector gives it up sooner. */
const ANSWER_MS = 5_000
/** A probe that dials first. */
const DIAL_MS = 10_000
const TRIALS_MS = 20_000

/**
 * @throws ElderError `SELF`, `NO_SUCH_DEVICE`, `AMBIGUOUS`; `UNREACHABLE` with `data.tried` when the device cannot be dialled at all
 */
export async function * ping (components: PingComponents, name: string, { count = 5, intervalMs = 1000, signal = new AbortController().signal }: PingOptions = {}): AsyncGenerator<PingEvent> {
  const { mesh, find, ref } = components
  const device = find(name)
  if (device === mesh.self) throw new ElderError('SELF', `${name} is this device.`, 'elder-node devices')
  for (let seq = 1; seq <= count && !signal.aborted; seq++) {
    const startMs = performance.now()
    const wasConnected = isConnected(mesh, device)
    const event = await once(components, device, seq, wasConnected, signal)
    if (signal.aborted) return
    if (event.event === 'lost' && event.code === 'UNREACHABLE' && !wasConnected) throw await unreachable(components, ref(device), event.message, signal)
    yield event
    if (seq < count) await sleep(Math.max(0, intervalMs - (performance.now() - startMs)), undefined, { signal }).catch(() => {})
  }
}

async function once ({ mesh, ref }: PingComponents, device: DeviceId, seq: number, wasConnected: boolean, signal: AbortSignal): Promise<PingEvent> {
  try {
    const rttMs = await mesh.probe(device, { signal: AbortSignal.any([signal, AbortSignal.timeout(wasConnected ? ANSWER_MS : DIAL_MS)]) })
    const peer = mesh.peers().find(one => one.device === device)
    const relay = peer?.relay === undefined ? null : ref(peer.relay)
    return { event: 'pong', device: ref(device), seq, rttMs: Math.round(rttMs * 1000) / 1000, path: peer?.path ?? 'direct', relay, address: peer?.address ?? '' }
  } catch (error) {
    return { event: 'lost', device: ref(device), seq, code: codeOf(error) === 'UNREACHABLE' ? 'UNREACHABLE' : 'TIMEOUT', message: (error as Error).message }
  }
}

async function unreachable ({ tryAddresses, lastSeen }: PingComponents, { id, name }: DeviceRef, why: string, signal: AbortSignal): Promise<ElderError> {
  const tried = await tryAddresses(id as DeviceId, { signal: AbortSignal.any([signal, AbortSignal.timeout(TRIALS_MS)]) })
  const seen = lastSeen(id as DeviceId)
  const ways = tried.length === 0 ? `; no address of it is known: ${why}` : tried.map(({ address, error }) => `\n  ${withoutPeer(address)}: ${error ?? 'answers now'}`).join('')
  return new ElderError(
    'UNREACHABLE', `${name} cannot be reached. Last seen: ${seen ?? 'never since this node started'}${ways}`,
    `Is its node running? There: elder-node status. On another network it needs an address that can be dialled: elder-node config set announce <multiaddr>`,
    { device: id, name, lastSeen: seen, tried: tried.map(({ address, error }) => ({ address, error })) },
  )
}

function isConnected (mesh: Mesh, device: DeviceId): boolean { return mesh.peers().some(peer => peer.device === device) }

function withoutPeer (address: string): string { return address.replace(/\/p2p\/[^/]+$/, '') }
