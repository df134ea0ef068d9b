import { AntiEntropy, Comparison, SyncSession, type DeviceId, type SessionEffect, type SessionInput } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import { SHIPPED, type Parts } from './sync/device.ts'
import { CLEAN, ROUGH, SimMesh, type MeshInit } from './sync/mesh.ts'

/** A run from a seed: what is wrong at its end, and the hash of everything that happened. */
type Scenario = (seed: number, parts: Partial<Parts>) => { wrong: string | undefined, hash: string }

const finish = (mesh: SimMesh, untilMs: number): ReturnType<Scenario> => {
  mesh.world.run(untilMs)
  return { wrong: mesh.difference(), hash: mesh.world.hash() }
}

/** Two minutes of everything at once, then quiet. */
const storm: Scenario = (seed, parts) => {
  const mesh = new SimMesh(seed, { links: ROUGH, parts })
  const [a, b, c, d] = mesh.devices as [SimMesh['devices'][0], SimMesh['devices'][0], SimMesh['devices'][0], SimMesh['devices'][0]]
  for (let i = 0; i < 80; i++) mesh.world.at(mesh.world.random() * 120_000, () => mesh.appendAnywhere())
  mesh.world.at(20_000, () => mesh.partition([a, b], [c, d]))
  mesh.world.at(50_000, () => mesh.heal())
  mesh.world.at(60_000, () => mesh.crash(b))
  mesh.world.at(75_000, () => mesh.restart(b))
  mesh.world.at(90_000, () => mesh.partition([a, c, d], [b]))
  mesh.world.at(120_000, () => mesh.heal())
  return finish(mesh, 600_000)
}

/** Both sides write while apart; the moment they meet again, one exchange per pair must do. */
const reunion = (init: MeshInit, quietMs: number): Scenario => (seed, parts) => {
  const mesh = new SimMesh(seed, { gossip: false, ...init, parts })
  const [a, b, c, d] = mesh.devices as [SimMesh['devices'][0], SimMesh['devices'][0], SimMesh['devices'][0], SimMesh['devices'][0]]
  mesh.world.at(100, () => mesh.partition([a], [b], [c], [d]))
  for (let i = 0; i < 60; i++) mesh.world.at(200 + mesh.world.random() * 1000, () => mesh.appendAnywhere())
  mesh.world.at(10_000, () => mesh.heal())
  return finish(mesh, 10_000 + quietMs)
}
const cleanReunion = reunion({ links: CLEAN }, 5000)
/** No periodic round comes to help: only the retry can. */
const roughReunion = reunion({ links: { ...ROUGH, loss: 0.1 }, antiEntropy: { intervalMs: 3_600_000 } }, 600_000)

/** One writer, three readers: the side that misses nothing must stay until the other is done. */
const oneWriter: Scenario = (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, gossip: false, parts })
  const [writer, ...readers] = [...mesh.devices].sort((a, b) => a.replica.device < b.replica.device ? -1 : 1) as [SimMesh['devices'][0], ...SimMesh['devices']]
  mesh.world.at(100, () => mesh.partition([writer], readers))
  for (let i = 0; i < 30; i++) mesh.world.at(1000, () => mesh.append(writer, `stack-${i % 3}`, ['x'.repeat(20_000)]))
  mesh.world.at(10_000, () => mesh.heal())
  return finish(mesh, 15_000)
}

/** Connected all the time, every hint lost: only the periodic round can repair. */
const deaf: Scenario = (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, gossip: false, parts })
  for (let i = 0; i < 40; i++) mesh.world.at(5000 + mesh.world.random() * 10_000, () => mesh.appendAnywhere())
  return finish(mesh, 400_000)
}

/** A record too large for gossip: its head notice must fetch it, long before the next round. */
const large: Scenario = (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, parts })
  mesh.world.at(2000, () => mesh.append(mesh.devices[0] as SimMesh['devices'][0], 'stack-0', ['x'.repeat(200_000)]))
  return finish(mesh, 6000)
}

/** Runs that end in an exception are caught as well as runs that end unequal. */
const outcome = (scenario: Scenario, seed: number, parts: Partial<Parts> = {}): string | undefined => {
  try {
    return scenario(seed, parts).wrong
  } catch (error) {
    return String(error)
  }
}

const seeds = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

describe('replication, simulated', () => {
  it('a storm of loss, duplicates, reordering, partitions and crashes: in the end every device holds every append', () => {
    for (const seed of seeds(12)) expect(outcome(storm, seed), `seed ${seed}`).toBeUndefined()
  })

  it('after a partition one exchange per pair is enough', () => {
    for (const seed of seeds(8)) {
      expect(outcome(cleanReunion, seed), `seed ${seed}`).toBeUndefined()
      expect(outcome(oneWriter, seed), `seed ${seed}`).toBeUndefined()
    }
  })

  it('broken exchanges are tried again', () => {
    for (const seed of seeds(6)) expect(outcome(roughReunion, seed), `seed ${seed}`).toBeUndefined()
  })

  it('without any gossip the periodic round repairs, and a head notice is followed at once', () => {
    for (const seed of seeds(6)) {
      expect(outcome(deaf, seed), `seed ${seed}`).toBeUndefined()
      expect(outcome(large, seed), `seed ${seed}`).toBeUndefined()
    }
  })

  it('a run is named by its seed', () => {
    expect(storm(7, {}).hash).toBe(storm(7, {}).hash)
    expect(storm(7, {}).hash).not.toBe(storm(8, {}).hash)
  })
})

class NoBuckets extends Comparison {
  protected override differing (): Uint8Array { return new Uint8Array(32) }
}
class NoBucketCompare extends SyncSession {
  protected override comparison (components: ConstructorParameters<typeof Comparison>[0]): Comparison { return new NoBuckets(components) }
}
class NeverAsksBack extends SyncSession {
  #started = false
  override handle (input: SessionInput, now: number): SessionEffect[] {
    this.#started ||= input.type === 'start'
    return super.handle(input, now)
  }

  protected override next (): SessionEffect[] { return this.#started ? super.next() : this.doneHere() }
}
class LeavesEarly extends SyncSession {
  protected override doneHere (): SessionEffect[] { return [...super.doneHere(), ...super.handle({ type: 'refused', reason: 'failed' }, 0)].map(effect => effect.type === 'end' ? { ...effect, reason: 'done' } : effect) }
}
class NoTimeout extends SyncSession {
  override handle (input: SessionInput, now: number): SessionEffect[] { return input.type === 'tick' ? [] : super.handle(input, now) }
}
class NotOnReconnect extends AntiEntropy {
  protected override admitted (device: DeviceId): void { super.admitted(device, Number.POSITIVE_INFINITY) }
}
class NoRetry extends AntiEntropy {
  protected override ended (device: DeviceId, _ok: boolean, now: number): void { super.ended(device, true, now) }
}
class NoRound extends AntiEntropy {
  protected override round (): void {}
}
class DeafToHints extends AntiEntropy {
  protected override behind (): void {}
}

const MUTANTS: Array<[rule: string, scenario: Scenario, seed: number, parts: Partial<Parts>]> = [
  ['gossip is applied only after its predecessor', storm, 1, { judgeLive: (ours, live) => live.batch !== undefined ? 'apply' : SHIPPED.judgeLive(ours, live) }],
  ['differing buckets are listed', storm, 1, { session: NoBucketCompare }],
  ['the responder asks back', cleanReunion, 1, { session: NeverAsksBack }],
  ['a side that is done still answers', oneWriter, 1, { session: LeavesEarly }],
  ['a silent exchange ends', roughReunion, 1, { session: NoTimeout }],
  ['an admitted device is synced with at once', cleanReunion, 1, { antiEntropy: NotOnReconnect }],
  ['a failed exchange is tried again', roughReunion, 1, { antiEntropy: NoRetry }],
  ['every interval one random peer', deaf, 1, { antiEntropy: NoRound }],
  ['a hint that we are behind is followed', large, 1, { antiEntropy: DeafToHints }],
]

describe('each rule has a seed that misses it', () => {
  it.each(MUTANTS)('%s', (_rule, scenario, seed, parts) => {
    expect(outcome(scenario, seed)).toBeUndefined()
    expect(outcome(scenario, seed, parts)).toBeDefined()
  })
})
