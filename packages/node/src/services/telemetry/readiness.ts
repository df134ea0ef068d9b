/** Whether the node does its work, and if not, why. Pure. */
import type { Status } from '../../api.ts'

export interface Check { ok: boolean, message: string }

/** `ready` needs every check that is not `advisory`: a remote that fails is told, and no reason to restart a node or to send work elsewhere. */
export interface Readiness { ready: boolean, checks: { mesh: Check, engine: Check, stacks: Check, mirror: Check & { advisory: true } } }

export interface ReadinessInputs {
  /** Undefined until this device is a member and every service has started. */
  status: Status | undefined
  /** Names of stacks that could not be opened. */
  brokenStacks: string[]
}

const STARTING: Check = { ok: false, message: 'starting: not admitted yet' }

export function readinessOf ({ status, brokenStacks }: ReadinessInputs): Readiness {
  if (status === undefined) return { ready: false, checks: { mesh: STARTING, engine: STARTING, stacks: STARTING, mirror: { ...STARTING, advisory: true } } }
  const connected = status.devices.filter(({ path }) => path === 'direct' || path === 'relay').length
  const self = status.devices.find(({ id }) => id === status.self.id)
  const failing = status.stacks.flatMap(({ mirrors }) => mirrors).find(({ state }) => state === 'failing')
  const checks: Readiness['checks'] = {
    mesh: { ok: true, message: `member of ${status.mesh.name}, ${connected} of ${Math.max(0, status.devices.length - 1)} other devices connected` },
    engine: { ok: true, message: self?.engine === null || self === undefined ? `no builds here: ${status.self.engineNote}` : `${self.slots.free} of ${self.slots.total} slots free, ${self.engine}` },
    stacks: brokenStacks.length === 0 ? { ok: true, message: `${status.stacks.length} stacks` } : { ok: false, message: `cannot be opened: ${brokenStacks.join(', ').slice(0, 500)}` },
    mirror: { ok: failing === undefined, message: failing === undefined ? 'no remote fails' : failing.message ?? 'a remote does not take what it should', advisory: true },
  }
  return { ready: checks.mesh.ok && checks.engine.ok && checks.stacks.ok, checks }
}
