/** What the owners of a simulated farm ask for, and what the world does to it, in the order of time. Made from a seed. */
import { seededRandom } from '../random.ts'

/** Devices are named by their place among those that can do it at that moment. */
export type FarmStep = { atMs: number } & (
  | { type: 'build', device: number, runMs: number, exclusive: boolean, waitMs: number | null, deadlineMs: number | null }
  | { type: 'cancel', build: number }
  | { type: 'crash', device: number, downMs: number }
  | { type: 'part', sides: number, forMs: number }
  | { type: 'stall', device: number, forMs: number }
  /** Everybody hears, each at its own moment, that the device is out. */
  | { type: 'evict', device: number }
)

export interface FarmPlanInit {
  minutes: number
  /** Nothing fails: messages take their time, and devices stall for a fraction of a second. @default false */
  calm?: boolean
}

type WithoutTime<S> = S extends { atMs: number } ? Omit<S, 'atMs'> : never

export function planOf (seed: number, { minutes, calm = false }: FarmPlanInit): FarmStep[] {
  const random = seededRandom(seed ^ 0xfa12)
  const pick = (max: number): number => Math.floor(random() * max)
  const steps: FarmStep[] = []
  const endMs = minutes * 60_000
  for (let atMs = 5_000; atMs < endMs; atMs += 8_000 * random()) steps.push({ atMs, ...asked() })
  for (let atMs = 20_000; atMs < endMs; atMs += 15_000 * random()) steps.push({ atMs, ...(calm ? { type: 'stall', device: pick(64), forMs: 400 * random() } : fault()) })
  return steps.toSorted((a, b) => a.atMs - b.atMs)

  function asked (): WithoutTime<FarmStep> {
    const runMs = random() < 0.2 ? 20_000 + 60_000 * random() : 200 + 6_000 * random()
    const deadlineMs = random() < 0.1 ? 10_000 + 20_000 * random() : null
    return { type: 'build', device: pick(64), runMs, exclusive: random() < 0.3, waitMs: random() < 0.7 ? 60_000 : null, deadlineMs }
  }

  function fault (): WithoutTime<FarmStep> {
    const chance = random()
    if (chance < 0.05) return { type: 'cancel', build: pick(64) }
    if (chance < 0.35) return { type: 'crash', device: pick(64), downMs: 30 + (random() < 0.6 ? 500 : 40_000) * random() }
    if (chance < 0.65) return { type: 'part', sides: pick(1 << 16), forMs: 1_000 + 30_000 * random() }
    if (chance < 0.90) return { type: 'stall', device: pick(64), forMs: 300 + 25_000 * random() * random() }
    return { type: 'evict', device: pick(64) }
  }
}
