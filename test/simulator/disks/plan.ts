/** What builds write on a builder's disks, and what else happens to these. In the order of time, made from a seed. */
import { seededRandom } from '../random.ts'

/** `dense`: its tree cannot be counted in any useful time; `lost`: not even its folders can be named. */
export type Kind = 'plain' | 'dense' | 'lost' | 'upload'

export type CellarStep = { atMs: number } & (
  | { type: 'build', disk: number, kind: Kind, bytes: number, growMs: number, forMs: number, limitBytes: number, walkMs: number }
  /** Somebody else fills the disk until so much is left, or empties it. */
  | { type: 'fill', disk: number, leftBytes: number, forMs: number }
  /** No file can be made on it for so long. */
  | { type: 'files', disk: number, forMs: number }
  | { type: 'stall', forMs: number }
  | { type: 'restart' }
)

export const MB = 1_048_576

export function planOf (seed: number, minutes: number): CellarStep[] {
  const random = seededRandom(seed ^ 0xd15c)
  const pick = (max: number): number => Math.floor(random() * max)
  const steps: CellarStep[] = []
  const endMs = minutes * 60_000
  for (let atMs = 1_000; atMs < endMs; atMs += 30_000 * random()) steps.push({ atMs, ...build() })
  for (let atMs = 30_000; atMs < endMs; atMs += 240_000 * random()) steps.push({ atMs, ...other() })
  return steps.toSorted((a, b) => a.atMs - b.atMs)

  function build (): WithoutTime<CellarStep> {
    const chance = random()
    const kind = chance < 0.7 ? 'plain' : chance < 0.8 ? 'dense' : chance < 0.86 ? 'lost' : 'upload'
    const bytes = MB * (random() < 0.5 ? 400 * random() : 6_000 * random())
    // At most 10 MB a second.
    const growMs = bytes / (10 * MB) * 1_000 * (1 + 9 * random())
    return {
      type: 'build', disk: random() < 0.75 ? 0 : 1, kind, bytes, growMs, forMs: growMs + 60_000 * random(),
      limitBytes: MB * (300 + 4_000 * random()), walkMs: random() < 0.7 ? 50 * random() : 1_500 * random(),
    }
  }

  function other (): WithoutTime<CellarStep> {
    const chance = random()
    if (chance < 0.75) return { type: 'fill', disk: pick(2), leftBytes: MB * 4_000 * random(), forMs: 200_000 * random() }
    if (chance < 0.82) return { type: 'files', disk: pick(2), forMs: 20_000 * random() }
    return chance < 0.92 ? { type: 'stall', forMs: 20_000 * random() } : { type: 'restart' }
  }
}

type WithoutTime<S> = S extends { atMs: number } ? Omit<S, 'atMs'> : never
