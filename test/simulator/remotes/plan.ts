/**
 * What the owners of a simulated fleet write, and what happens to its git remotes, in the order of time. Made from a
 * seed.
 */
import { seededRandom } from '../random.ts'

/**
 * `refuses` answers with an error, `hangs` with nothing, `floods` with more than a mirror takes; `slow` is well, and
 * takes its time.
 */
export type Illness = 'refuses' | 'hangs' | 'floods' | 'slow'

export type FleetStep = { atMs: number } & (
  | { type: 'write', device: number, stack: number, notes: number }
  | { type: 'ill', site: number, how: Illness, forMs: number }
  /** The device reaches no remote, and its peers all the same. */
  | { type: 'offline', device: number, forMs: number }
  /** Devices hear each other through the remotes alone. */
  | { type: 'apart', forMs: number }
  /** A person asks for a sync. */
  | { type: 'sync', device: number }
  /** A stranger deletes a stack on the remote. */
  | { type: 'vandalise', site: number, stack: number }
  | { type: 'crash' | 'restart', device: number, downMs: number }
  | { type: 'stall', device: number, forMs: number }
  | { type: 'jump', device: number, byMs: number }
)

export interface FleetPlanInit {
  minutes: number
  /** Nothing fails. @default false */
  calm?: boolean
}

type WithoutTime<S> = S extends { atMs: number } ? Omit<S, 'atMs'> : never

const DAY_MS = 86_400_000

export function planOf (seed: number, { minutes, calm = false }: FleetPlanInit): FleetStep[] {
  const random = seededRandom(seed ^ 0xf1ee)
  const pick = (max: number): number => Math.floor(random() * max)
  const steps: FleetStep[] = []
  const endMs = minutes * 60_000
  for (let atMs = 5_000; atMs < endMs; atMs += 240_000 * random()) {
    steps.push({ atMs, type: 'write', device: pick(64), stack: pick(64), notes: random() < 0.2 ? 5 : 1 })
  }
  for (let atMs = calm ? endMs : 100_000; atMs < endMs; atMs += 200_000 * random()) steps.push({ atMs, ...fault() })
  return steps.toSorted((a, b) => a.atMs - b.atMs)

  function fault (): WithoutTime<FleetStep> {
    const chance = random()
    const device = pick(64)
    if (chance < 0.32) return { type: 'ill', site: pick(64), how: illness(), forMs: 20_000 + (random() < 0.7 ? 300_000 : 2_400_000) * random() }
    if (chance < 0.42) return { type: 'offline', device, forMs: 20_000 + 1_200_000 * random() }
    if (chance < 0.48) return { type: 'apart', forMs: 600_000 * random() }
    if (chance < 0.56) return { type: 'sync', device }
    if (chance < 0.64) return { type: 'vandalise', site: pick(64), stack: pick(64) }
    if (chance < 0.74) return { type: 'crash', device, downMs: 1_000 + 60_000 * random() }
    if (chance < 0.88) return { type: 'restart', device, downMs: 1_000 + 60_000 * random() }
    if (chance < 0.95) return { type: 'stall', device, forMs: 1_000 + 120_000 * random() }
    return { type: 'jump', device, byMs: DAY_MS * (random() - 0.5) }
  }

  function illness (): Illness {
    const chance = random()
    return chance < 0.35 ? 'refuses' : chance < 0.75 ? 'hangs' : chance < 0.88 ? 'floods' : 'slow'
  }
}
