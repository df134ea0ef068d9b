/** Equal `feeds` implies equal `digest`: a counter-example is a bug of the first rank. */
import { describe, expect, it } from 'vitest'
import { difference } from '../src/difference.ts'
import type { Stack } from '../src/index.ts'
import { seededRandom } from '../../../test/simulator/world.ts'
import { converge, createDevice, type Device } from './support.ts'

const WORDS = ['alpha', 'beta\n', 'γάμμα', '😀', 'delta\n', '\n', 'e']

function mixed (text: string, pick: (n: number) => number): string {
  const units = [...text]
  for (let i = 1 + pick(2); i > 0; i--) units.splice(pick(units.length + 1), pick(6), ...(pick(4) > 0 ? [WORDS[pick(WORDS.length)] as string] : []))
  return units.join('')
}

async function act (stack: Stack, pick: (n: number) => number): Promise<void> {
  const entries = stack.entries({ removed: true })
  const entry = entries[pick(entries.length)]
  const choice = pick(10)
  if (entry === undefined || choice === 0) await stack.add({ kind: 'note', title: `t${pick(5)}`, body: mixed('one\ntwo\n', pick), tags: ['x'] }, pick(2) === 0 ? { agent: 'a' } : {})
  else if (choice === 1) await stack.remove(entry.id)
  else if (choice === 2 || entry.removed) await stack.restore(entry.id)
  else if (choice < 5) await stack.edit(entry.id, { title: `t${pick(5)}`, tags: [`${pick(3)}`] })
  else await stack.edit(entry.id, { body: mixed(entry.body, pick) }, {}, { overwrite: true })
}

/** A random part of what `to` lacks, in random order: the beginnings of paths, or their ends, so records wait and causality is tested. */
async function exchange (to: Stack, from: Stack, pick: (n: number) => number): Promise<void> {
  for (const head of [...from.vector()].sort(() => pick(3) - 1)) {
    if (pick(3) === 0 || !to.wants(head)) continue
    const batches = [...from.path({ ...head, from: 1 + pick(to.longest(head.feed, head.seq) + 1), to: head.seq })]
    await to.receive(pick(4) === 0 ? batches.slice(pick(batches.length)) : batches.slice(0, 1 + pick(batches.length)))
  }
}

/** One pass over all revisions says the same as each read by itself. */
async function replays (stack: Stack): Promise<void> {
  for (const { id } of stack.entries({ removed: true })) {
    const replay = stack.replay(id)
    const revisions = stack.history({ entry: id, limit: 1000 }).toReversed().flatMap(({ before, revision }) => [before, revision])
    for (const revision of revisions) if (typeof revision === 'string') expect(await replay?.at(revision)).toEqual(stack.entryAt(id, revision))
  }
}

async function run (seed: number, steps: number): Promise<void> {
  const next = seededRandom(seed)
  const pick = (n: number): number => Math.floor(next() * n)
  const devices: Device[] = [1, 2, 3].map(createDevice)
  const stacks: Stack[] = []
  for (const [i, device] of devices.entries()) {
    device.clock.ms += i * 1000 - 500
    stacks.push(await device.open())
  }
  const digests = new Map<string, string>()
  for (let step = 0; step < steps; step++) {
    const i = pick(3)
    const choice = pick(20)
    if (choice === 0) {
      await stacks[i]?.close()
      stacks[i] = await (devices[i] as Device).open()
    } else if (choice < 10) await act(stacks[i] as Stack, pick)
    else await exchange(stacks[i] as Stack, stacks[pick(3)] as Stack, pick)
    const { feeds, digest } = (stacks[i] as Stack).digest()
    expect(digests.get(feeds) ?? digest, `seed ${seed} step ${step}`).toBe(digest)
    digests.set(feeds, digest)
  }
  await converge(stacks)
  const [first, ...others] = stacks.map(stack => [stack.digest(), stack.entries({ removed: true }), stack.forks(), stack.unshown()])
  for (const other of others) expect(other).toEqual(first)
  expect(first?.slice(2)).toEqual([[], []])
  if (seed === 7) await replays(stacks[0] as Stack)
  for (const [i, stack] of stacks.entries()) {
    await stack.close()
    const again = await (devices[i] as Device).open()
    expect(again.digest()).toEqual(first?.[0])
    await again.close()
  }
}

describe('replicas', () => {
  it('with equal feeds have equal digests, in every causal order, through restarts', async () => {
    for (let seed = 1; seed <= 40; seed++) await run(seed, 60)
  }, 30_000)

  it('agree on one body edited by everybody at once for long, with documents closing in between', async () => {
    for (let seed = 101; seed <= 102; seed++) await run(seed, 500)
  }, 30_000)
})

describe('the smallest difference', () => {
  const applied = (before: string, after: string): string =>
    difference(before, after).toReversed().reduce((text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove), before)

  it('turns one text into the other and splits no surrogate pair', () => {
    const next = seededRandom(5)
    const pick = (n: number): number => Math.floor(next() * n)
    for (let i = 0; i < 3000; i++) {
      const before = mixed(mixed(mixed('', pick), pick), pick) + mixed('a 😀\nb 😁\nc\n', pick)
      const after = mixed(mixed(before, pick), pick)
      expect(applied(before, after)).toBe(after)
      for (const edit of difference(before, after)) expect(edit.insert.isWellFormed() && before.slice(edit.at, edit.at + edit.remove).isWellFormed()).toBe(true)
    }
  })

  it('leaves alone what did not change', () => {
    expect(difference('a\nb\nc\nd\n', 'a\nB\nc\nD\n')).toEqual([{ at: 2, remove: 1, insert: 'B' }, { at: 6, remove: 1, insert: 'D' }])
    expect(difference('status: open, owner: me\n', 'status: shut, owner: you\n').length).toBeGreaterThan(1)
    expect(difference('same', 'same')).toEqual([])
  })

  it('stays bounded on texts that share nothing', () => {
    const a = Array.from({ length: 5000 }, (_, i) => `a${i}\n`).join('')
    const b = Array.from({ length: 5000 }, (_, i) => `b${i}\n`).join('')
    const started = performance.now()
    expect(applied(a, b)).toBe(b)
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
