/** What lies before a record, and what that costs when a device makes thousands of incarnations, each naming the one before. */
import fc from 'fast-check'
import { deviceId, feedId, type Batch, type VectorEntry } from '@elder-node/protocol'
import { expect, it } from 'vitest'
import { Past } from '../src/feeds/causal-past.ts'
import { createDevice, createSigner, RawFeed } from './support.ts'

type Step = { type: 'with', run: number, seq: number } | { type: 'union', of: number }

it('holds of each run the greatest seq that it was made of, as a map of numbers does', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ type: fc.constant('with' as const), run: fc.nat(900), seq: fc.integer({ min: 1, max: 2 ** 32 - 1 }) }),
    fc.record({ type: fc.constant('union' as const), of: fc.nat(40) }),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), steps => {
    const made: Array<{ past: Past, model: Map<number, number> }> = [{ past: Past.NONE, model: new Map() }]
    for (const step of steps) {
      const last = made.at(-1) as typeof made[0]
      const other = step.type === 'union' ? made[step.of % made.length] as typeof made[0] : undefined
      const added = step.type === 'with' ? [[step.run, step.seq] as const] : [...other?.model ?? []]
      const model = new Map(last.model)
      for (const [run, seq] of added) model.set(run, Math.max(seq, model.get(run) ?? 0))
      made.push({ past: step.type === 'with' ? last.past.with(step.run, step.seq) : last.past.union((other as typeof made[0]).past), model })
    }
    // Also the earlier ones: what is shared never changes.
    for (const { past, model } of made) {
      expect([...past.runs()]).toEqual([...model.keys()].toSorted((a, b) => a - b))
      for (const [run, seq] of model) expect(past.at(run)).toBe(seq)
    }
  }))
})

it('costs what a record changes: a chain of incarnations is not paid by its square', async () => {
  const stack = await createDevice().open()
  const signer = createSigner()
  const batches: Batch[] = []
  let before: VectorEntry | undefined
  for (let at = 0; at < 4_000; at++) {
    const feed = new RawFeed(feedId(deviceId(signer.publicKey), Buffer.from(at.toString(16).padStart(16, '0'), 'hex')), signer)
    batches.push(feed.write({ kind: 'see', body: {}, deps: before === undefined ? [] : [before] }))
    before = { feed: feed.feed, seq: 1, hash: feed.hash() }
  }
  const { arrayBuffers } = process.memoryUsage()
  await stack.receive(batches)
  expect(stack.vector().length).toBeGreaterThan(0)
  // As one array of all runs for each record: 32 MB.
  expect(process.memoryUsage().arrayBuffers - arrayBuffers).toBeLessThan(12e6)
})
