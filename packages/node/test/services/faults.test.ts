/** What stacks hold and do not show, as `status` and `stack verify` say it: the device at fault, once for each kind of fault. */
import {
  deviceId, encodeRecord, feedId, genesisHash, recordHash, signHead, toHex,
  type Batch, type Dep, type DeviceCut, type DeviceId, type Value,
} from '@elder-node/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { faultProblems } from '../../src/services/stacks/faults.ts'
import type { HeldStack } from '../../src/services/stacks/held-stack.ts'
import { crypto, StackMesh, stackOf, type StackNode } from '../support/stacks.ts'

let mesh = new StackMesh()
afterEach(async () => {
  await mesh.stop()
  mesh = new StackMesh()
})

/** A member whose program writes whatever it likes, correctly signed. */
class Rogue {
  readonly #signer = signerFromSeed(randomBytes(32))
  readonly device = deviceId(this.#signer.publicKey)
  readonly #feed = feedId(this.device, randomBytes(8))
  readonly #stack: HeldStack['stack']['id']
  #last: Dep | undefined

  constructor (stack: HeldStack['stack']['id']) { this.#stack = stack }

  get last (): Dep { return this.#last as Dep }

  /** `sees`: the head of another feed that it names. */
  write (kind: string, body: Value, ...sees: Dep[]): Batch {
    const seq = (this.#last?.seq ?? 0) + 1
    const prev = this.#last?.hash ?? genesisHash(this.#stack, this.#feed, crypto)
    const bytes = encodeRecord({ seq, prev, deps: sees, at: seq, agent: null, kind, body })
    const hash = recordHash(bytes, crypto)
    this.#last = { feed: this.#feed, seq, hash }
    return { feed: this.#feed, from: seq, records: [bytes], head: signHead(this.#stack, this.#feed, seq, hash, this.#signer) }
  }
}

const heldOf = ({ stacks }: StackNode): HeldStack => stacks.named('repo') as HeldStack
const problemsOf = (node: StackNode, rogue: Rogue): ReturnType<typeof faultProblems> =>
  faultProblems(node.stacks.all(), device => device === rogue.device ? 'mini' : 'somebody')
const receive = async (node: StackNode, ...batches: Batch[]): Promise<void> => {
  const { key, name } = heldOf(node)
  await node.stacks.receive(key, name, batches)
}

describe('a stack with records that are not shown', () => {
  it('names the device that broke a rule, and shows what others wrote', async () => {
    const node = await mesh.node()
    await node.stacks.open('repo').add({ kind: 'note', title: 'mine' })
    const rogue = new Rogue(stackOf(node, 'repo').id)
    await receive(node, rogue.write('new', { kind: 'note' }), rogue.write('new', { kind: 'note' }))
    expect(problemsOf(node, rogue)).toMatchObject([
      {
        code: 'RECORD_VOID', device: { id: rogue.device, name: 'mini' }, fix: expect.stringContaining('Look after mini') as string,
        message: expect.stringMatching(/^One record in the stack repo \(the first is 1 of .* is kept and not shown: .*map.* At fault: mini\.$/) as string,
      },
      { code: 'RECORD_VOID', message: expect.stringContaining('it follows a void record') as string },
    ])
    expect((await node.stacks.open('repo').list()).map(({ title }) => title)).toEqual(['mine'])
  })

  it('counts records of one fault together', async () => {
    const node = await mesh.node()
    await node.stacks.open('repo').add({ kind: 'note', title: 'mine' })
    const rogue = new Rogue(stackOf(node, 'repo').id)
    await receive(node, ...Array.from({ length: 30 }, () => rogue.write('new', { kind: 'note' })))
    expect(problemsOf(node, rogue).map(({ message }) => message)).toEqual([expect.stringMatching(/^One record /), expect.stringMatching(/^29 records .* are kept and not shown/)])
  })

  it('names the device whose fault hides what another one wrote', async () => {
    const node = await mesh.node()
    await node.stacks.open('repo').add({ kind: 'note', title: 'mine' })
    const { id } = stackOf(node, 'repo')
    const [rogue, follower] = [new Rogue(id), new Rogue(id)]
    await receive(node, rogue.write('new', { kind: 'note' }))
    await receive(node, follower.write('set', { entry: rogue.last.hash, field: 'title', value: 'x' }, rogue.last))
    expect(problemsOf(node, rogue)).toMatchObject([
      { code: 'RECORD_VOID', device: { id: rogue.device } },
      { code: 'RECORD_SKIPPED', message: expect.stringContaining('its entry is not shown. At fault: mini.') as string, device: { id: rogue.device } },
    ])
  })

  it('says nothing of what an eviction hides, nor while all is shown', async () => {
    let cuts = new Map<DeviceId, DeviceCut>()
    const node = await mesh.node({ cuts: () => cuts })
    await node.stacks.open('repo').add({ kind: 'note', title: 'mine' })
    const other = new Rogue(stackOf(node, 'repo').id)
    await receive(node, other.write('new', { kind: 'note', fields: {}, body: '', v: 1 }))
    expect(await node.stacks.open('repo').list()).toHaveLength(2)
    expect(problemsOf(node, other)).toEqual([])
    cuts = new Map([[other.device, { keep: new Set([toHex(other.last.hash)]), undo: true }]])
    await node.stacks.applyCuts()
    expect(await node.stacks.open('repo').list()).toHaveLength(1)
    expect(problemsOf(node, other)).toEqual([])
  })
})
