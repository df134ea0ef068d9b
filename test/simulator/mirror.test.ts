import { MirrorSync, type MirroredStack } from '@elder-node/crdt-stack/mirror'
import { gitMirrorAcceptance } from '@elder-node/crdt-stack/acceptance'
import { describe, expect, it } from 'vitest'
import type { SimDevice } from './sync/device.ts'
import { MemoryGit, MemoryRemote } from './mirror/memory-git.ts'
import { MirrorMesh, type MirrorParts } from './mirror/mesh.ts'

gitMirrorAcceptance({ describe, it, expect }, 'in memory, for the simulator', async () => {
  const remote = new MemoryRemote()
  return { open: async () => new MemoryGit(remote), close: async () => {} }
})

/** What is wrong at the end of a run; undefined when nothing is. */
type Scenario = (seed: number, parts?: Partial<MirrorParts>) => Promise<string | undefined>

const PASS_MS = 4000
const WRITES = 60

/** Everybody writes and everybody pushes, at once and all the time; devices crash in the middle of a pass. */
const pushers: Scenario = async (seed, parts) => {
  const mirror = busy(seed, parts)
  const { mesh } = mirror
  for (let i = 0; i < 4; i++) {
    const device = mesh.pick(mesh.devices)
    const at = mesh.world.random() * 40_000
    mesh.world.at(at, () => mirror.crash(device))
    mesh.world.at(at + 2000, () => mesh.restart(device))
  }
  return await finish(mirror)
}

/** Strangers delete, flip and cut files of the remote, and take commits back. Local state is what the devices wrote, and the remote is whole again. */
const vandals: Scenario = async (seed, parts) => {
  const mirror = busy(seed, parts)
  for (let i = 0; i < 10; i++) mirror.mesh.world.at(10_000 + mirror.mesh.world.random() * 40_000, () => mirror.vandalise())
  for (let i = 0; i < 2; i++) mirror.mesh.world.at(20_000 + mirror.mesh.world.random() * 30_000, () => mirror.rewrite())
  return await finish(mirror)
}

/** A restored backup writes a second strand before it meets anybody; the remote holds both. */
const strands: Scenario = async (seed, parts) => {
  const mirror = busy(seed, parts)
  const { mesh } = mirror
  const [a, ...others] = mesh.devices as [SimDevice, ...SimDevice[]]
  mesh.world.at(15_000, () => mesh.bounce(a))
  mesh.world.at(15_100, () => mesh.backup(a))
  mesh.world.at(30_000, () => mesh.partition([a], others))
  mesh.world.at(30_100, () => mesh.restoreBackup(a, { isNoticed: false }))
  for (let i = 0; i < 4; i++) mesh.world.at(30_500 + i * 200, () => mesh.add(a, mesh.pick(mesh.stacks)))
  mesh.world.at(40_000, () => mesh.heal())
  return await finish(mirror)
}

/** No device hears another one: the remote alone brings everything to everybody. */
const remoteAlone: Scenario = async (seed, parts) => {
  const mirror = busy(seed, parts)
  mirror.mesh.world.at(0, () => mirror.mesh.partition(...mirror.mesh.devices.map(device => [device])))
  return await finish(mirror)
}

function busy (seed: number, parts: Partial<MirrorParts> = {}): MirrorMesh {
  const mirror = new MirrorMesh(seed, parts)
  const { mesh } = mirror
  // Every device has every stack from the beginning: what is adopted from a remote is for the node to say.
  for (const stack of mesh.stacks) for (const device of mesh.devices) mesh.world.at(200, () => mesh.add(device, stack))
  for (let i = 0; i < WRITES; i++) mesh.world.at(1000 + mesh.world.random() * 50_000, () => mesh.writeAnywhere())
  for (const device of mesh.devices) for (let at = 2000; at < 60_000; at += PASS_MS) mesh.world.at(at + mesh.world.random() * PASS_MS, () => mirror.pass(device))
  return mirror
}

/** Quiet passes, one device after the other; a person accepts a rewritten history. Then everybody and the remote must say the same. */
async function finish (mirror: MirrorMesh): Promise<string | undefined> {
  const { mesh, remote } = mirror
  for (let round = 0; round < 3; round++) mesh.devices.forEach((device, i) => mesh.world.at(80_000 + (3 * round + i) * 15_000, () => mirror.pass(device, { acceptRewrite: true })))
  await mesh.world.runAsync(230_000)
  if (mirror.errors.length > 0) return String(mirror.errors[0])
  const wrong = mesh.difference()
  if (wrong !== undefined) return wrong
  const { digests, quarantined } = await mirror.restored()
  if (quarantined.length > 0) return `the remote holds ${quarantined[0]}, which does not verify`
  for (const name of mesh.stacks) {
    const shown = mesh.devices[0]?.replica.get(name)?.digest().digest
    if (digests.get(name) !== shown) return `${name}: the remote alone gives back something else`
  }
  return remote.tip === undefined ? 'nothing was ever pushed' : undefined
}

async function run (scenario: Scenario, seed: number, parts?: Partial<MirrorParts>): Promise<string | undefined> {
  try {
    return await scenario(seed, parts)
  } catch (error) {
    return String(error)
  }
}

const holds = async (scenario: Scenario, count: number): Promise<void> => {
  for (let seed = 1; seed <= count; seed++) expect(await run(scenario, seed), `seed ${seed}`).toBeUndefined()
}

describe('the mirror, simulated', () => {
  it('several pushers that crash in the middle of a pass leave a remote that gives everything back', async () => { await holds(pushers, 4) })
  it('a remote that strangers damage and rewrite changes no local state, and becomes whole again', async () => { await holds(vandals, 4) })
  it('both strands of a forked feed stand on the remote', async () => { await holds(strands, 4) })
  it('the remote alone brings what one device wrote to all others', async () => { await holds(remoteAlone, 4) })
})

/** Segments by range: of the strands in one window the longest stands for all. */
const oneStrand = (stack: MirroredStack): MirroredStack => {
  const longest = (): ReturnType<MirroredStack['windows']> => stack.windows().sort((a, b) => a.to - b.to)
  return { ...stack, windows: () => [...new Map(longest().map(want => [`${want.feed} ${want.from}`, want])).values()] }
}
/** The remote is never read. */
const deaf = (stack: MirroredStack): MirroredStack => ({ ...stack, receive: async () => ({ accepted: 0, missing: [] }) })
/** Whatever is pushed is thought to be there for ever: what strangers delete is not written again. */
class Trusting extends MirrorSync {
  #pushed = new Set<string>()
  override async sync (stacks: MirroredStack[], options: Parameters<MirrorSync['sync']>[1]): ReturnType<MirrorSync['sync']> {
    const fresh = stacks.map(stack => ({ ...stack, windows: () => stack.windows().filter(({ hash }) => !this.#pushed.has(hash.join())) }))
    const result = await super.sync(fresh, options)
    for (const stack of stacks) for (const { hash } of stack.windows()) this.#pushed.add(hash.join())
    return result
  }
}

const MUTANTS: Array<[rule: string, scenario: Scenario, seed: number, parts: Partial<MirrorParts>]> = [
  ['strands of one window stand side by side', strands, 4, { view: oneStrand }],
  ['what is on the remote is taken', remoteAlone, 1, { view: deaf }],
  ['what is gone from the remote is written again', vandals, 1, { sync: Trusting }],
]

describe('each rule of the mirror has a seed that misses it', () => {
  it.each(MUTANTS)('%s', async (_rule, scenario, seed, parts) => {
    expect(await run(scenario, seed)).toBeUndefined()
    expect(await run(scenario, seed, parts)).toBeDefined()
  })
})
