/** What the people of a simulated mesh do to it, and what the world does, in the order of time. Made from a seed. */
import type { Role } from '@elder-node/protocol'
import { seededRandom } from '../random.ts'

/** Devices are named by their place among those that can do it at that moment, so that a step still means something without others. */
export type MeshStep = { atMs: number } & (
  /** An admin invites a device; `racers` of them show the one ticket. */
  | { type: 'invite', admin: number, role: Role, racers: number }
  | { type: 'evict' | 'promote' | 'lose', admin: number, device: number }
  | { type: 'leave', device: number }
  | { type: 'crash', device: number, downMs: number }
  /** The disk as it is now, kept for later. */
  | { type: 'backup', device: number }
  /** Ends the device, and starts it from its backup. */
  | { type: 'restore', device: number, downMs: number }
  | { type: 'part', sides: number, forMs: number }
  | { type: 'stall', device: number, forMs: number }
  | { type: 'jump', device: number, byMs: number }
  /** An evicted device starts from its backup and does not believe what it is told. */
  | { type: 'haunt', device: number }
)

const ROLES: Role[] = ['observer', 'member', 'builder', 'admin']
const JUMP_MS = 172_800_000

export function planOf (seed: number, minutes: number): MeshStep[] {
  const random = seededRandom(seed ^ 0x5eed)
  const pick = (max: number): number => Math.floor(random() * max)
  const steps: MeshStep[] = [0, 1, 2, 3].map(i => ({ atMs: 1_000 + 3_000 * i, type: 'invite', admin: 0, role: i < 2 ? 'admin' : 'builder', racers: 1 }))
  for (let atMs = 20_000; atMs < minutes * 60_000; atMs += 8_000 * random()) steps.push({ atMs, ...drawn() })
  return steps

  function drawn (): MeshStepBody {
    const device = pick(64)
    const admin = pick(64)
    const chance = random()
    if (chance < 0.16) return { type: 'invite', admin, role: ROLES[pick(4)] as Role, racers: 1 + pick(3) }
    if (chance < 0.26) return { type: 'evict', admin, device }
    if (chance < 0.32) return { type: 'promote', admin, device }
    if (chance < 0.35) return { type: 'lose', admin, device }
    if (chance < 0.37) return { type: 'leave', device }
    if (chance < 0.50) return { type: 'crash', device, downMs: 200 + 20_000 * random() }
    if (chance < 0.58) return { type: 'backup', device }
    if (chance < 0.66) return { type: 'restore', device, downMs: 200 + 5_000 * random() }
    if (chance < 0.80) return { type: 'part', sides: pick(1 << 16), forMs: 2_000 + 40_000 * random() }
    if (chance < 0.90) return { type: 'stall', device, forMs: 500 + 15_000 * random() }
    if (chance < 0.93) return { type: 'jump', device, byMs: JUMP_MS * (random() - 0.5) }
    return { type: 'haunt', device }
  }
}

type WithoutTime<S> = S extends { atMs: number } ? Omit<S, 'atMs'> : never
type MeshStepBody = WithoutTime<MeshStep>
