/**
 * The proof that nothing is lost: the stack computed again from the disk, then who else holds exactly that.
 * Devices are asked by an exchange, which also brings what one of the two lacked; remotes are read and verified.
 */
import { type Audit } from '@elder-node/crdt-stack'
import { feedDevice, type DeviceId } from '@elder-node/protocol'
import { setImmediate } from 'node:timers/promises'
import type { DeviceRef, Problem, StackProof } from '../api.ts'
import type { Mesh } from '../ports/mesh.ts'
import type { RemoteProof } from './mirror.ts'
import type { Replication } from './replication.ts'
import { faultProblems, goneFix, recordsWait } from './stacks/faults.ts'
import type { HeldStack } from './stacks/held-stack.ts'
import type { Stacks } from './stacks.ts'

export interface StackProofComponents {
  stacks: Stacks
  replication: Replication
  mesh: Mesh
  /** What each remote of a stack holds. Never rejects. */
  remotes: (held: HeldStack, options: { signal: AbortSignal }) => Promise<RemoteProof[]>
  /** Every device of the mesh, this one included. */
  members: () => DeviceRef[]
  nameOf: (device: DeviceId) => string
}

type Failed = ReadonlyMap<DeviceId, 'silent' | 'busy'>

/** Exchanges with a device until it holds what this one holds: a record under way is no disagreement. */
const ROUNDS = 4
const ANSWER_MS = 20_000
const FIXES: Record<string, string | ((file: string) => string)> = {
  FEED_DAMAGED: 'Look after the disk. Stop the node and start it: what reads stays, and other devices and remotes send the rest.',
  FEED_GONE: goneFix,
  FEED_BROKEN: 'Stop the node, move that file away and start: other devices and the mirror send the records again.',
  FEED_SHORT: 'Stop the node and start it: other devices and the mirror send the records again.',
  VIEW_DIFFERS: 'Restart the node: it computes the view again. Please report it when it stays.',
}

/** @throws ElderError `NO_SUCH_STACK`, and why `signal` aborted */
export async function proveStack (parts: StackProofComponents, name: string, { signal }: { signal: AbortSignal }): Promise<StackProof> {
  const held = parts.stacks.find(name)
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
  const [failed, remotes] = await Promise.all([askDevices(parts, held, limit), parts.remotes(held, { signal })])
  signal.throwIfAborted()
  const audit = await held.stack.audit({ pause: async () => { await setImmediate(undefined, { signal }) } })
  const devices = parts.members().map(device => ({ ...device, state: stateOf(parts, held, device.id as DeviceId, failed) }))
  return {
    stack: name, digest: audit.digest, feeds: audit.feeds, entries: held.entries(), records: audit.records, signatures: audit.signatures,
    writers: audit.perFeed.map(({ feed, records }) => ({ device: { id: feedDevice(feed), name: parts.nameOf(feedDevice(feed)) }, feed, records })),
    beyond: beyondOf(audit, held, parts.nameOf),
    devices, remotes, problems: [
      ...diskProblems(audit, faultProblems([held], parts.nameOf)), ...recordsWait(held, parts.nameOf),
      ...deviceProblems(devices), ...remoteProblems(name, remotes),
    ],
  }
}

/** @returns the connected devices whose last exchange did not end, or brought or left something new */
async function askDevices ({ mesh, replication }: StackProofComponents, held: HeldStack, signal: AbortSignal): Promise<Failed> {
  const failed = new Map<DeviceId, 'silent' | 'busy'>()
  await Promise.all(mesh.peers().map(async ({ device }) => {
    for (let round = 0; round < ROUNDS && !signal.aborted; round++) {
      const before = held.stack.feedsDigest().join()
      const answered = await Promise.race([replication.exchange(device).then(({ reason }) => reason === 'done', () => false), ended(signal)])
      const moved = held.stack.feedsDigest().join() !== before
      if (!answered) failed.set(device, 'silent')
      else if (moved) failed.set(device, 'busy')
      else failed.delete(device)
      if (replication.holders(held).includes(device) && !moved) return
    }
  }))
  return failed
}

async function ended (signal: AbortSignal): Promise<false> {
  if (signal.aborted) return false
  return await new Promise(resolve => { signal.addEventListener('abort', () => { resolve(false) }, { once: true }) })
}

function stateOf ({ mesh, replication }: StackProofComponents, held: HeldStack, device: DeviceId, failed: Failed): StackProof['devices'][number]['state'] {
  if (device === mesh.self) return 'self'
  if (!mesh.peers().some(peer => peer.device === device)) return 'offline'
  if (replication.holders(held).includes(device)) return 'same'
  return failed.get(device) ?? 'differs'
}

/** Of a stack of another mesh nobody here can bring anything back. */
function beyondOf (
  { beyond }: Audit, { archivedFrom }: HeldStack, nameOf: (device: DeviceId) => string,
): StackProof['beyond'] {
  if (archivedFrom !== undefined) return []
  return beyond.map(({ device, records }) => ({ device: { id: device, name: nameOf(device) }, records }))
}

/** Damage that was met at the start and is on the disk still is said once. */
function diskProblems (audit: Audit, faults: Problem[]): Problem[] {
  const now = auditProblems(audit)
  const damaged = new Set(now.map(({ file }) => file))
  return [...now, ...faults.filter(({ file }) => file === undefined || !damaged.has(file))]
}

function fixOf (code: string, file: string = ''): string {
  const fix = FIXES[code] ?? ''
  return typeof fix === 'string' ? fix : fix(file)
}

function auditProblems ({ problems }: Audit): Problem[] {
  return problems.map(({ code, message, file }) => ({ code, message: `On this disk, ${message}.`, fix: fixOf(code, file), ...(file === undefined ? {} : { file }) }))
}

function deviceProblems (devices: StackProof['devices']): Problem[] {
  return devices.filter(({ state }) => state === 'differs')
    .map(({ name }) => ({ code: 'DEVICE_DIFFERS', message: `${name} is online and holds something else than this device after ${ROUNDS} exchanges.`, fix: `Run elder-node stack verify on ${name} too; it names what is wrong there.` }))
}

function remoteProblems (stack: string, remotes: RemoteProof[]): Problem[] {
  return remotes.filter(({ state }) => state === 'damaged')
    .map(({ url, message }) => ({ code: 'MIRROR_SEGMENT', message: `On the remote ${url}, ${message ?? 'a file does not verify'}.`, fix: `elder-node stack sync ${stack}   (writes anew what this device holds); then look who can push to the remote.` }))
}
