/** The simulated mesh of the shipped stacks with one git remote, which several devices push to and strangers write to. */
import { mirroredStack, MirrorSync, restoreMirror, type MirroredStack, type MirrorMemory } from '@elder-node/crdt-stack/mirror'
import { Stack, MemoryFeedStore } from '@elder-node/crdt-stack'
import { codeOf, stackId, type Crypto, type StackId } from '@elder-node/protocol'
import type { SimDevice } from '../sync/device.ts'
import { CLEAN, SimMesh, type MeshInit } from '../sync/mesh.ts'
import { cheapCrypto, cheapSigner } from '../../../packages/protocol/test/support/cheap-crypto.ts'
import { MemoryGit, MemoryRemote } from './memory-git.ts'

export const MESH = 'a'.repeat(26)
/** Both ways to a host, milliseconds. */
const GIT_MS: readonly [number, number] = [20, 900]

/** What a mutant replaces: another loop, or another view of a stack. */
export interface MirrorParts {
  sync: typeof MirrorSync
  view: (stack: MirroredStack) => MirroredStack
}

export const SHIPPED_MIRROR: MirrorParts = { sync: MirrorSync, view: stack => stack }

export class MirrorMesh {
  readonly mesh: SimMesh
  readonly remote = new MemoryRemote()
  readonly #parts: MirrorParts
  /** What outlives a process: the last tip that a device saw. */
  readonly #memory = new Map<SimDevice, MirrorMemory>()
  readonly #loops = new Map<SimDevice, MirrorSync>()
  readonly #busy = new Set<SimDevice>()
  readonly errors: unknown[] = []
  readonly told = new Set<string>()

  constructor (seed: number, parts: Partial<MirrorParts> = {}, init: MeshInit = {}) {
    this.mesh = new SimMesh(seed, { links: CLEAN, stacks: 2, devices: 3, ...init })
    this.#parts = { ...SHIPPED_MIRROR, ...parts }
  }

  /** One pass of a device's loop, in virtual time. Of two at once the second is not begun, as in a node. */
  pass (device: SimDevice, { acceptRewrite = false }: { acceptRewrite?: boolean } = {}): void {
    if (this.#busy.has(device) || !this.mesh.isUp(device)) return
    this.#busy.add(device)
    const life = device.life
    const { signal } = new AbortController()
    const loop = this.#loops.get(device) ?? this.#newLoop(device)
    this.#loops.set(device, loop)
    loop.sync(this.#stacksOf(device), { signal, acceptRewrite }).then(({ problems }) => {
      for (const { code } of problems) this.told.add(code)
    }).catch((error: unknown) => {
      if (codeOf(error) !== 'GIT_CONTENDED' && life === device.life) this.errors.push(error)
    }).finally(() => {
      if (life !== device.life) return
      this.#memory.set(device, loop.memory)
      this.#busy.delete(device)
    })
  }

  /** The process of a device ends in the middle of whatever its loop does. */
  crash (device: SimDevice): void {
    this.mesh.crash(device)
    this.#loops.delete(device)
    this.#busy.delete(device)
  }

  /** Somebody changes one file of the remote: deletes it, flips a byte of it, or cuts it. */
  vandalise (): void {
    const paths = [...this.remote.files().keys()]
    const path = this.mesh.pick(paths)
    const content = path === undefined ? undefined : this.remote.files().get(path)
    if (path === undefined || content === undefined) return
    const roll = this.mesh.world.random()
    const flipped = content.map((byte, i) => i === Math.floor(content.length / 2) ? byte ^ 1 : byte)
    const changed = roll < 0.4 ? null : roll < 0.7 ? flipped : content.slice(0, Math.floor(content.length / 2))
    this.remote.edit([{ path, content: changed }])
  }

  /** The branch is moved to an earlier commit, or deleted. */
  rewrite (): void {
    let commit = this.remote.tip
    const back = 1 + Math.floor(this.mesh.world.random() * 4)
    for (let i = 0; i < back && commit !== undefined; i++) commit = this.remote.commits.get(commit)?.parent
    this.remote.tip = commit
  }

  /** What somebody gets who has the remote alone: per stack the digest, and what was left out. */
  async restored (): Promise<{ digests: Map<string, string>, quarantined: string[] }> {
    const git = new MemoryGit(this.remote)
    const mirror = await restoreMirror({ git, crypto: cheapCrypto, verifyRoster: records => ({ records, mayWrite: () => true }) }, { signal: new AbortController().signal })
    const digests = new Map<string, string>()
    for (const { name, batches } of mirror.stacks) {
      const stack = await emptyStack(stackId(name, cheapCrypto), name, cheapCrypto)
      await stack.receive(batches)
      digests.set(name, stack.digest().digest)
    }
    return { digests, quarantined: mirror.quarantined.map(({ path }) => path) }
  }

  #newLoop (device: SimDevice): MirrorSync {
    const { world } = this.mesh
    const life = device.life
    const wait = async (ms: number): Promise<void> => await new Promise(resolve => {
      world.at(world.now + ms, () => { if (life === device.life) resolve() })
    })
    const pause = async (): Promise<void> => { await wait(GIT_MS[0] + world.random() * (GIT_MS[1] - GIT_MS[0])) }
    const memory = this.#memory.get(device)
    return new this.#parts.sync(
      { git: new MemoryGit(this.remote, pause), crypto: cheapCrypto, wallMs: () => 1_750_000_000_000 + Math.floor(world.now), random: world.random, sleep: wait },
      { mesh: MESH, ...(memory === undefined ? {} : { memory }) },
    )
  }

  #stacksOf (device: SimDevice): MirroredStack[] {
    return this.mesh.stacks.flatMap(name => {
      const stack = device.replica.get(name)
      return stack === undefined || stack.isEmpty ? [] : [this.#parts.view(mirroredStack(stack))]
    })
  }
}

async function emptyStack (id: StackId, name: string, crypto: Crypto): Promise<Stack> {
  return await Stack.open({ store: new MemoryFeedStore(), crypto, signer: cheapSigner('reader'), wallMs: () => 0, random: n => new Uint8Array(n) }, { id, name })
}
