import { feedStoreAcceptance } from '@elder-node/crdt-stack/acceptance'
import { AntiEntropy, Comparison, SyncSession, type DeviceId, type SessionEffect, type SessionInput } from '@elder-node/protocol'
import { describe, expect, it } from 'vitest'
import type { Parts, SimDevice } from './sync/device.ts'
import { SimDisk, SimStore } from './sync/disk.ts'
import { CLEAN, ROUGH, SimMesh, type MeshInit } from './sync/mesh.ts'

feedStoreAcceptance('the disk of the simulator', async () => {
  const disk = new SimDisk()
  const synced = async (): Promise<void> => { await new Promise(resolve => { setImmediate(resolve) }) }
  return { open: async () => new SimStore(disk, synced, Math.random), dispose: async () => {} }
}, { describe, it, expect })

/** A run from a seed: what is wrong at its end, and the hash of everything that happened. */
type Scenario = (seed: number, parts: Partial<Parts>) => Promise<{ wrong: string | undefined, hash: string }>
type Four = [SimDevice, SimDevice, SimDevice, SimDevice]

const LOOK_MS = 5000

const finish = async (mesh: SimMesh, untilMs: number): ReturnType<Scenario> => {
  for (let at = LOOK_MS; at < untilMs; at += LOOK_MS) {
    await mesh.world.runAsync(at)
    mesh.look()
  }
  await mesh.world.runAsync(untilMs)
  return { wrong: mesh.difference(), hash: mesh.world.hash() }
}

/** Two minutes of everything at once, then quiet. */
const storm: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: ROUGH, parts })
  const [a, b, c, d] = mesh.devices as Four
  for (let i = 0; i < 80; i++) mesh.world.at(mesh.world.random() * 120_000, () => mesh.writeAnywhere())
  mesh.world.at(20_000, () => mesh.partition([a, b], [c, d]))
  mesh.world.at(50_000, () => mesh.heal())
  mesh.world.at(60_000, () => mesh.crash(b))
  mesh.world.at(75_000, () => mesh.restart(b))
  mesh.world.at(80_000, () => mesh.bounce(c))
  mesh.world.at(90_000, () => mesh.partition([a, c, d], [b]))
  mesh.world.at(120_000, () => mesh.heal())
  return await finish(mesh, 300_000)
}

/** Crashes in the middle of writes, clean ends, full disks, disks that lie about a sync or lose a batch; then quiet. */
const brokenDisks: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, parts })
  for (let i = 0; i < 120; i++) mesh.world.at(mesh.world.random() * 60_000, () => mesh.writeAnywhere())
  for (let i = 0; i < 12; i++) {
    const device = mesh.pick(mesh.devices)
    const at = mesh.world.random() * 60_000
    const roll = mesh.world.random()
    if (roll < 0.4) {
      mesh.world.at(at, () => mesh.crash(device))
      mesh.world.at(at + 3000, () => mesh.restart(device))
    } else if (roll < 0.65) {
      mesh.world.at(at, () => mesh.bounce(device))
    } else if (roll < 0.8) {
      mesh.world.at(at, () => mesh.lie(device))
    } else {
      mesh.world.at(at, () => mesh.fill(device, true))
      mesh.world.at(at + 5000, () => mesh.fill(device, false))
    }
  }
  // By then everybody has everything, so what does not read comes back from the others.
  mesh.world.at(130_000, () => mesh.damage(mesh.pick(mesh.devices)))
  return await finish(mesh, 250_000)
}

/** After a clean end a device writes on; its disk, which had not synced, loses that in a crash. The note of the clean end must not count any more. */
const lyingDisk: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, parts })
  for (const device of mesh.devices) {
    for (const stack of mesh.stacks) mesh.world.at(1000, () => mesh.add(device, stack))
    mesh.world.at(5000, () => mesh.bounce(device))
    for (const stack of mesh.stacks) for (let i = 0; i < 2; i++) mesh.world.at(8000 + 500 * i, () => mesh.add(device, stack))
    mesh.world.at(12_000, () => mesh.lie(device))
    for (const stack of mesh.stacks) mesh.world.at(12_010, () => mesh.add(device, stack))
  }
  return await finish(mesh, 90_000)
}

/** A disk goes back to a backup, noticed or not, while others write on; its device writes before it meets anybody. */
const timeTravel: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, parts })
  const [a, b, c, d] = mesh.devices as Four
  for (let i = 0; i < 90; i++) mesh.world.at(mesh.world.random() * 60_000, () => mesh.writeAnywhere())
  mesh.world.at(15_000, () => mesh.bounce(a))
  // A clean end is what is copied: then the note of it fits the copy too.
  mesh.world.at(15_100, () => mesh.backup(a))
  mesh.world.at(35_000, () => mesh.partition([a], [b, c, d]))
  mesh.world.at(35_100, () => mesh.restoreBackup(a, { isNoticed: mesh.world.random() < 0.3 }))
  for (let i = 0; i < 6; i++) mesh.world.at(35_500 + i * 300, () => mesh.add(a, mesh.pick(mesh.stacks)))
  for (let i = 0; i < 6; i++) mesh.world.at(36_000 + i * 300, () => mesh.edit(a, mesh.pick(mesh.stacks)))
  mesh.world.at(45_000, () => mesh.heal())
  return await finish(mesh, 250_000)
}

/** A device is evicted while it writes; everybody hears of it at another moment. */
const eviction: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: ROUGH, parts })
  const [a, b, c, d] = mesh.devices as Four
  for (let i = 0; i < 90; i++) mesh.world.at(mesh.world.random() * 60_000, () => mesh.writeAnywhere())
  mesh.world.at(30_000, () => mesh.evict(d, a, mesh.world.random() < 0.3))
  mesh.world.at(70_000, () => mesh.partition([a, b, c], [d]))
  return await finish(mesh, 300_000)
}

/** What an evicted device wrote on while others had not heard comes back, while one of those that keep it aside restarts. */
const keeping: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: ROUGH, parts })
  const [a, b, c, d] = mesh.devices as Four
  for (let i = 0; i < 60; i++) mesh.world.at(mesh.world.random() * 60_000, () => mesh.writeAnywhere())
  for (let i = 0; i < 20; i++) mesh.world.at(30_000 + mesh.world.random() * 20_000, () => mesh.add(d, mesh.pick(mesh.stacks)))
  mesh.world.at(30_000, () => mesh.evict(d, a))
  mesh.world.at(60_000, () => mesh.partition([a, b, c], [d]))
  mesh.world.at(110_000, () => mesh.keep(d))
  mesh.world.at(120_000, () => mesh.crash(b))
  mesh.world.at(140_000, () => mesh.restart(b))
  return await finish(mesh, 300_000)
}

/** Both sides write while apart; the moment they meet again, one exchange per pair must do. */
const reunion = (init: MeshInit, quietMs: number): Scenario => async (seed, parts) => {
  const mesh = new SimMesh(seed, { gossip: false, ...init, parts })
  const [a, b, c, d] = mesh.devices as Four
  mesh.world.at(100, () => mesh.partition([a], [b], [c], [d]))
  for (let i = 0; i < 60; i++) mesh.world.at(200 + mesh.world.random() * 1000, () => mesh.writeAnywhere())
  mesh.world.at(10_000, () => mesh.heal())
  return await finish(mesh, 10_000 + quietMs)
}
const cleanReunion = reunion({ links: CLEAN }, 8000)
/** No periodic round comes to help: only the retry can. */
const roughReunion = reunion({ links: { ...ROUGH, loss: 0.1 }, antiEntropy: { intervalMs: 3_600_000 } }, 600_000)

/** One writer, three readers: the side that misses nothing must stay until the other is done. */
const oneWriter: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, gossip: false, parts })
  const [writer, ...readers] = [...mesh.devices].sort((a, b) => a.replica.device < b.replica.device ? -1 : 1) as Four
  mesh.world.at(100, () => mesh.partition([writer], readers))
  for (let i = 0; i < 30; i++) mesh.world.at(1000, () => mesh.add(writer, `stack-${i % 3}`, 20_000))
  mesh.world.at(10_000, () => mesh.heal())
  return await finish(mesh, 16_000)
}

/** Connected all the time, every hint lost: only the periodic round can repair. */
const deaf: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, gossip: false, parts })
  for (let i = 0; i < 40; i++) mesh.world.at(5000 + mesh.world.random() * 10_000, () => mesh.writeAnywhere())
  return await finish(mesh, 400_000)
}

/** A record too large for gossip: its head notice must fetch it, long before the next round. */
const large: Scenario = async (seed, parts) => {
  const mesh = new SimMesh(seed, { links: CLEAN, parts })
  mesh.world.at(2000, () => mesh.add(mesh.devices[0] as SimDevice, 'stack-0', 200_000))
  return await finish(mesh, 6000)
}

/** Runs that end in an exception are caught as well as runs that end unequal. */
const outcome = async (scenario: Scenario, seed: number, parts: Partial<Parts> = {}): Promise<string | undefined> => {
  try {
    return (await scenario(seed, parts)).wrong
  } catch (error) {
    return String(error)
  }
}

const holds = async (scenario: Scenario, count: number): Promise<void> => {
  for (let seed = 1; seed <= count; seed++) expect(await outcome(scenario, seed), `seed ${seed}`).toBeUndefined()
}

describe('replication, simulated', () => {
  it('a storm of loss, duplicates, reordering, partitions and crashes: every device shows every acknowledged write', async () => { await holds(storm, 6) })
  it('disks that lose what was not synced, fill up and lose a batch cost no acknowledged write', async () => {
    await holds(brokenDisks, 6)
    await holds(lyingDisk, 4)
  })
  it('a disk that goes back in time costs nobody what another device held', async () => { await holds(timeTravel, 6) })
  it('an eviction while the device writes: all others show the same', async () => { await holds(eviction, 6) })

  it('what an evicted device wrote beyond its cut comes back to all others', async () => { await holds(keeping, 6) })

  it('after a partition one exchange per pair is enough', async () => {
    await holds(cleanReunion, 6)
    await holds(oneWriter, 4)
  })

  it('broken exchanges are tried again', async () => { await holds(roughReunion, 4) })

  it('without any gossip the periodic round repairs, and a head notice is followed at once', async () => {
    await holds(deaf, 4)
    await holds(large, 4)
  })

  it('a run is named by its seed', async () => {
    expect((await storm(7, {})).hash).toBe((await storm(7, {})).hash)
    expect((await storm(7, {})).hash).not.toBe((await storm(8, {})).hash)
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
  ['differing buckets are listed', storm, 1, { session: NoBucketCompare }],
  ['the responder asks back', cleanReunion, 1, { session: NeverAsksBack }],
  ['a side that is done still answers', oneWriter, 1, { session: LeavesEarly }],
  ['a silent exchange ends', roughReunion, 1, { session: NoTimeout }],
  ['an admitted device is synced with at once', cleanReunion, 1, { antiEntropy: NotOnReconnect }],
  ['a failed exchange is tried again', roughReunion, 1, { antiEntropy: NoRetry }],
  ['every interval one random peer', deaf, 1, { antiEntropy: NoRound }],
  ['a hint that we are behind is followed', large, 1, { antiEntropy: DeafToHints }],
  ['what left the state is on the disk', keeping, 1, { disk: { forgetsAside: true } }],
  ['a feed is continued only after a clean end', lyingDisk, 1, { disk: { keepsCleanEnd: true } }],
]

describe('each rule has a seed that misses it', () => {
  it.each(MUTANTS)('%s', async (_rule, scenario, seed, parts) => {
    expect(await outcome(scenario, seed)).toBeUndefined()
    expect(await outcome(scenario, seed, parts)).toBeDefined()
  })
})
