/**
 * What happens around a device behind a router: its port, its peers, its networks, its sleep. In the order of time,
 * made from a seed.
 */
import { seededRandom } from '../random.ts'

/**
 * How a peer answers "can you dial me?": `able` as it is; `blind` never reaches anybody, behind a firewall of its
 * own; `old` does not know
 * the question; `hangs` says nothing; `wrong` reaches this device and names a port that is not its own.
 */
export type Mood = 'able' | 'blind' | 'old' | 'hangs' | 'wrong'

export type StreetStep = { atMs: number } & (
  /** Its router passes the port on, or does not any more. */
  | { type: 'port', isOpen: boolean }
  /** Another network: with another address, and a router of its own. */
  | { type: 'move', isOpen: boolean }
  | { type: 'come', peer: number, mood: Mood }
  | { type: 'go', peer: number }
  | { type: 'sleep' | 'stall', forMs: number }
  | { type: 'restart', isClean: boolean, downMs: number }
)

const PEERS = 6

export function planOf (seed: number, hours: number): StreetStep[] {
  const random = seededRandom(seed ^ 0x57ee)
  const pick = (max: number): number => Math.floor(random() * max)
  const steps: StreetStep[] = [{ atMs: 1_000, type: 'come', peer: 0, mood: 'able' }]
  for (let atMs = 20_000; atMs < hours * 3_600_000; atMs += 1_500_000 * random() * random()) {
    const step = { atMs, ...happens() }
    steps.push(step)
    // A Wi-Fi at the edge of its reach.
    if (step.type === 'move' && random() < 0.4) steps.push({ ...step, atMs: atMs + 10_000 * random(), isOpen: false })
  }
  return steps.toSorted((a, b) => a.atMs - b.atMs)

  function happens (): WithoutTime<StreetStep> {
    const chance = random()
    if (chance < 0.18) return { type: 'port', isOpen: random() < 0.5 }
    if (chance < 0.28) return { type: 'move', isOpen: random() < 0.3 }
    if (chance < 0.62) return { type: 'come', peer: pick(PEERS), mood: mood() }
    if (chance < 0.82) return { type: 'go', peer: pick(PEERS) }
    if (chance < 0.87) return { type: 'sleep', forMs: 7_200_000 * random() }
    if (chance < 0.93) return { type: 'stall', forMs: 60_000 * random() }
    return { type: 'restart', isClean: random() < 0.5, downMs: 60_000 * random() }
  }

  function mood (): Mood {
    const chance = random()
    return chance < 0.45 ? 'able' : chance < 0.58 ? 'blind' : chance < 0.75 ? 'old' : chance < 0.92 ? 'hangs' : 'wrong'
  }
}

type WithoutTime<S> = S extends { atMs: number } ? Omit<S, 'atMs'> : never
