/**
 * What lies at or below heads that somebody named: what a removed stack is judged by, on devices that hold more or less
 * than was named.
 */
import { describe, expect, it } from 'vitest'
import { MemoryFeedStore, Stack } from '../src/index.ts'
import { converge, createDevice, crypto, NAME, pull, random, STACK } from './support.ts'

const note = async (stack: Stack, title: string): Promise<void> => { await stack.add({ kind: 'note', title }) }

/** Both go on from the same record: one where it is, one from a copy of its disk. */
async function twoLives (): Promise<{ left: Stack, right: Stack }> {
  const device = createDevice()
  const first = await device.open()
  await note(first, 'common')
  await first.close()
  const backup = { ...device.memory, batches: [...device.memory.batches] }
  const left = await device.open()
  const right = await Stack.open(
    { store: new MemoryFeedStore(backup), crypto, signer: device.signer, wallMs: () => device.clock.ms++, random }, { id: STACK, name: NAME },
  )
  return { left, right }
}

describe('a stack is within heads', () => {
  it('that name all it holds, and no longer after one more record of anybody', async () => {
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    await note(a, 'one')
    await converge([a, b])
    const heads = a.vector()
    expect([a.isWithin(heads), b.isWithin(heads)]).toEqual([true, true])
    await note(b, 'beyond')
    expect(b.isWithin(heads)).toBe(false)
    await converge([a, b])
    expect(a.isWithin(heads)).toBe(false)
    expect(a.isWithin(a.vector())).toBe(true)
  })

  it('that are later than what it holds', async () => {
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    await note(a, 'one')
    await converge([a, b])
    await note(a, 'two')
    expect(b.isWithin(a.vector())).toBe(true)
    await note(b, 'beyond')
    expect(b.isWithin(a.vector())).toBe(false)
    await pull(b, a)
    expect(b.isWithin(a.vector()), 'also once it knows better').toBe(false)
  })

  it('of one strand, but not with another strand of that feed', async () => {
    const { left, right } = await twoLives()
    await note(left, 'left')
    await note(left, 'left too')
    await note(right, 'right')
    await pull(left, right)
    expect(left.entries()).toHaveLength(4)
    expect(right.isWithin(left.vector())).toBe(true)
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    await converge([a, left])
    const heads = a.vector()
    await note(right, 'right too')
    await pull(b, right)
    expect(b.isWithin(heads)).toBe(false)
  })

  it('when somebody only took note of what was there', async () => {
    const { left, right } = await twoLives()
    await note(left, 'left')
    await note(right, 'right')
    const [a, b] = [await createDevice().open(), await createDevice().open()]
    // Before it takes the second strand, a device writes down what it holds.
    await pull(b, left)
    await pull(b, right)
    await converge([a, left, right])
    const heads = a.vector()
    const seen = b.vector().filter(({ hash }) => !heads.some(head => Buffer.from(head.hash).equals(hash)))
    expect(seen.length).toBeGreaterThan(0)
    expect(b.entries()).toHaveLength(3)
    expect(b.isWithin(heads)).toBe(true)
    await pull(a, b)
    expect(a.isWithin(heads)).toBe(true)
  })
})
