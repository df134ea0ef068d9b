/** What stacks hold and do not show, as `status` and `stack verify` say it: the device at fault, once for each kind of fault. */
import type { UnshownRecord } from '@elder-node/crdt-stack'
import {
  deviceId, encode, encodeRecord, feedId, genesisHash, LIMITS, recordHash, signHead, toHex,
  stackId, stackKey, type Batch, type Dep, type DeviceCut, type DeviceId, type Value,
} from '@elder-node/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { AlertBook } from '../../src/services/alerts/alert-book.ts'
import { faultProblems, recordsWait, waitingFindings } from '../../src/services/stacks/faults.ts'
import { ForksMet } from '../../src/services/stacks/forks-met.ts'
import type { HeldStack } from '../../src/services/stacks/held-stack.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { crypto, StackMesh, stackOf, type StackNode } from '../support/stacks.ts'

const STACK = stackId('repo', crypto)
let mesh = new StackMesh()
afterEach(async () => {
  await mesh.stop()
  mesh = new StackMesh()
})

/** A member whose program writes whatever it likes, correctly signed. */
class Rogue {
  readonly #signer = signerFromSeed(randomBytes(32))
  readonly device = deviceId(this.#signer.publicKey)
  feed = feedId(this.device, randomBytes(8))
  readonly #stack: HeldStack['stack']['id']
  #last: Dep | undefined

  constructor (stack: HeldStack['stack']['id']) { this.#stack = stack }

  get last (): Dep { return this.#last as Dep }

  /** Its disk went back in time: what it wrote is not there any more. */
  restored (): void {
    this.feed = feedId(this.device, randomBytes(8))
    this.#last = undefined
  }

  /** `sees`: the head of another feed that it names. */
  write (kind: string, body: Value, ...sees: Dep[]): Batch {
    const seq = (this.#last?.seq ?? 0) + 1
    const prev = this.#last?.hash ?? genesisHash(this.#stack, this.feed, crypto)
    const bytes = encodeRecord({ seq, prev, deps: sees, at: seq, agent: null, kind, body })
    const hash = recordHash(bytes, crypto)
    this.#last = { feed: this.feed, seq, hash }
    const head = signHead(this.#stack, this.feed, seq, hash, this.#signer)
    return { feed: this.feed, from: seq, records: [bytes], head }
  }
}

const heldOf = ({ stacks }: StackNode): HeldStack => stacks.named('repo') as HeldStack
const problemsOf = (node: StackNode, rogue: Rogue): ReturnType<typeof faultProblems> =>
  faultProblems(node.stacks.all(), device => device === rogue.device ? 'mini' : 'somebody')
const receive = async (node: StackNode, ...batches: Batch[]): Promise<void> => {
  const { key, name } = heldOf(node)
  await node.stacks.receive(key, name, batches)
}

describe('a device whose disk is restored over and over', () => {
  it('is told of once it has more histories than are kept; a note of another device in between keeps them', async () => {
    const node = await mesh.node()
    const rogue = new Rogue(STACK)
    const lives: Batch[] = []
    const live = async (): Promise<void> => {
      rogue.restored()
      lives.push(rogue.write('x-life', {}))
      await receive(node, ...lives.slice(-1))
    }
    await node.stacks.open('repo').add({ kind: 'note', title: 'first' })
    for (let life = 0; life < 64; life++) await live()
    expect(problemsOf(node, rogue)).toEqual([])
    await node.stacks.open('repo').add({ kind: 'note', title: 'names them' })
    for (let life = 0; life < 64; life++) await live()
    expect(problemsOf(node, rogue)).toEqual([])
    await live()
    // What was dropped is offered again with every exchange, and is one record still.
    for (let again = 0; again < 3; again++) await receive(node, ...lives.slice(64))
    expect(problemsOf(node, rogue)).toMatchObject([{
      code: 'HISTORIES_DROPPED', device: { name: 'mini' }, message: expect.stringContaining('One record of mini in the stack repo') as string,
    }])
  })
})

describe('a stack of which a log is gone', () => {
  it('names the file, its device and what to do, until something of that feed is there again', () => {
    const device = 'a'.repeat(52) as DeviceId
    const feed = feedId(device, new Uint8Array(8))
    const file = `/data/stacks/key/${feed}.log`
    let longest = 0
    const held = { name: 'repo', faults: () => ({ forks: [], unshown: [] }), stack: { dropped: () => [], damaged: [{ feed, file, at: 0, bytes: 0, gone: true }], longest: () => longest } } as unknown as HeldStack
    expect(faultProblems([held], () => 'mini')).toMatchObject([{
      code: 'FEED_GONE', device: { id: device, name: 'mini' }, message: expect.stringContaining(`${file}. What mini wrote`) as string, fix: expect.stringContaining('rm /data/stacks/key/feeds ') as string,
    }])
    longest = 1
    expect(faultProblems([held], () => 'mini')).toEqual([])
  })
})

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
      {
        code: 'RECORD_SKIPPED', device: { id: rogue.device },
        message: expect.stringContaining('its entry is not shown. At fault: mini.') as string,
        fix: expect.stringMatching(/^Look after mini: .*Hidden and kept: 1 of somebody\. No command reads/) as string,
      },
    ])
  })

  it('says whose records a text written twice hides, and how to read them', () => {
    const [bad, good, mine] = [new Rogue(STACK), new Rogue(STACK), new Rogue(STACK)]
    const names = new Map([[bad.device, 'mini'], [good.device, 'laptop'], [mine.device, 'this']])
    const record = ({ feed }: Rogue, seq: number): UnshownRecord =>
      ({ feed, seq, kind: 'text', state: 'skipped', why: 'it builds on text that is not shown', device: bad.device })
    const unshown = [record(mine, 4), record(good, 2), record(good, 3)]
    const faults = (): ReturnType<HeldStack['faults']> => ({ forks: [], unshown })
    const held = { name: 'repo', stack: { dropped: () => [], damaged: [] }, faults } as unknown as HeldStack
    const [problem, ...others] = faultProblems([held], device => names.get(device) ?? '')
    expect(others).toEqual([])
    expect(problem?.message).toMatch(/^3 records .* At fault: mini\.$/)
    expect(problem?.fix).toContain('Hidden and kept: 2 of laptop, 1 of this.')
    expect(problem?.fix).toContain('elder-node stack log repo --entry <id>')
    expect(problem?.fix).toContain('elder-node stack show repo <id> --at <revision>')
    expect(problem?.fix).not.toContain('lost')
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

describe('a fork', () => {
  const feed = feedId(new Rogue(STACK).device, randomBytes(8))
  const DAY_MS = 86_400_000
  let forks = [{ feed, seq: 2, strands: 2 }]
  const faults = (): ReturnType<HeldStack['faults']> => ({ forks, unshown: [] })
  const held = { key: stackKey(STACK), name: 'repo', stack: { dropped: () => [], damaged: [] }, faults } as unknown as HeldStack
  let files = new MemoryFiles()
  let nowMs = 0
  const life = (): ForksMet => new ForksMet({ files, clock: { wallMs: () => nowMs, monotonicMs: () => nowMs } })
  /** On how many days in a row, at most 40, it is told. */
  const daysTold = (met = life()): number => {
    for (let day = 0; day < 40; day++, nowMs += DAY_MS) if (met.news(held).length === 0) return day
    return 40
  }
  beforeEach(() => {
    forks = [{ feed, seq: 2, strands: 2 }]
    files = new MemoryFiles()
    nowMs = 1_800_000_000_000
  })

  it('is told on 14 days in status, and by stack verify at all times', () => {
    expect(daysTold()).toBe(14)
    const met = life()
    expect(faultProblems([held], () => 'mini', one => met.news(one))).toEqual([])
    expect(faultProblems([held], () => 'mini')).toMatchObject([{ code: 'FEED_FORKED' }])
  })

  it('counts days on which the node ran, over restarts, absences and a clock that was not set', () => {
    nowMs = 0
    for (let look = 0; look < 100; look++) expect(life().news(held)).toHaveLength(1)
    nowMs = 1_800_000_000_000
    for (let day = 0; day < 5; day++, nowMs += 100 * DAY_MS) expect(life().news(held)).toHaveLength(1)
    expect(daysTold()).toBe(8)
    expect(life().news(held)).toEqual([])
  })

  it('of which a further history comes is news again; fewer and the same are not', () => {
    daysTold()
    forks = [{ feed, seq: 2, strands: 3 }]
    expect(daysTold()).toBe(14)
    for (const strands of [2, 3]) {
      forks = [{ feed, seq: 2, strands }]
      expect(life().news(held)).toEqual([])
    }
  })

  it('is told anew where the file is gone or does not read, and for longer on a full disk', () => {
    for (const content of [undefined, encode(7), encode([[feed, 99, 99]]), Uint8Array.of(1)]) {
      daysTold()
      files.contents.clear()
      if (content !== undefined) files.replace(`${held.key}/forks.cbor`, content)
      expect(life().news(held)).toHaveLength(1)
    }
    files.contents.clear()
    files.failure = new Error('full')
    const met = life()
    expect(daysTold(met)).toBe(14)
    expect(life().news(held)).toHaveLength(1)
  })
})

describe('a stack with records that wait for others', () => {
  const note = { kind: 'note', fields: { title: 'x' }, body: '', v: 1 }
  /** Two devices, one of which names the other's record: that record, and what waits for it. */
  const holed = async (node: StackNode): Promise<{ gone: Batch, first: Batch, second: Batch, follower: Rogue }> => {
    const { id } = (await node.stacks.ensure('repo')).stack
    const [lost, follower] = [new Rogue(id), new Rogue(id)]
    const gone = lost.write('new', note)
    return { gone, first: follower.write('new', note, lost.last), second: follower.write('new', note), follower }
  }
  const waits = (node: StackNode): ReturnType<typeof recordsWait> => recordsWait(heldOf(node), () => 'mini')

  it('says how many, of whom and what to do, until what they name comes; the stack is there', async () => {
    const node = await mesh.node()
    const { gone, first, second } = await holed(node)
    expect(node.stacks.list()).toEqual([])
    await receive(node, first, second)
    expect(waits(node)).toMatchObject([{
      code: 'RECORDS_WAIT', fix: expect.stringContaining('elder-node stack sync') as string,
      message: expect.stringMatching(/^2 records of mini \(2\) in the stack repo are not shown: .* of 1970-01-01T/) as string,
    }])
    expect(node.stacks.list()).toMatchObject([{ name: 'repo', entries: 0 }])
    expect(await node.stacks.open('repo').list()).toEqual([])
    await receive(node, gone)
    expect(waits(node)).toEqual([])
    expect(await node.stacks.open('repo').list()).toHaveLength(3)
  })

  it('says that there are more than it counts, when some had no room, until there is', async () => {
    const node = await mesh.node()
    const { gone, first, second, follower } = await holed(node)
    await receive(node, first, second)
    const body = 'x'.repeat(LIMITS.recordBytesMax - 1024)
    const fitting = Math.floor(LIMITS.waitingBytesMax / LIMITS.recordBytesMax)
    for (let i = 0; i < fitting - 1; i++) await receive(node, follower.write('noise', body))
    expect(waits(node)[0]?.message).toContain(`${fitting + 1} records of mini (${fitting + 1}) in the stack`)
    for (let i = 0; i < 2; i++) await receive(node, follower.write('noise', body))
    expect(waits(node)[0]?.message).toMatch(/^At least (\d+) records of mini \(\1, and more came than there was room for\) in the stack repo are not shown/)
    await receive(node, gone)
    expect(waits(node)).toEqual([])
  })

  it('is told after a minute, also when more come meanwhile', async () => {
    const node = await mesh.node()
    const { gone, first, second } = await holed(node)
    const book = new AlertBook()
    const told = (atMs: number): string[] =>
      book.evaluate(waitingFindings(node.stacks.all(), () => 'mini'), atMs).map(({ code }) => code)
    await receive(node, first)
    expect(told(0)).toEqual([])
    await receive(node, second)
    expect([told(59_000), told(60_000)]).toEqual([[], ['RECORDS_WAIT']])
    await receive(node, gone)
    expect(told(61_000)).toEqual([])
  })

  it('is not told of an evicted device, unless a head that the eviction keeps is among them', async () => {
    let cuts = new Map<DeviceId, DeviceCut>()
    const node = await mesh.node({ cuts: () => cuts })
    const { first, follower } = await holed(node)
    await receive(node, first)
    const head = toHex(follower.last.hash)
    for (const [keep, undo, told] of [[[head], false, 1], [[], false, 0], [[head], true, 0]] as const) {
      cuts = new Map([[follower.device, { keep: new Set(keep), undo }]])
      await node.stacks.applyCuts()
      expect(waits(node)).toHaveLength(told)
    }
  })
})
