/** What an eviction does to the memory: what the device had written stays, until somebody takes that back, too. */
import { afterAll, expect, test } from 'vitest'
import { Lab, expectRefusal, until } from './support.ts'
import type { Node } from './support.ts'

const lab = new Lab()
afterAll(() => lab[Symbol.asyncDispose]())

const titles = async (node: Node): Promise<string[]> => await node.titles('shared').catch(() => [])

test('notes of an evicted device stay on every device; --undo takes them back afterwards, and leaves those of others', async () => {
  const laptop = await lab.join('laptop')
  const pi = await lab.admit('pi', laptop)
  const mini = await lab.admit('mini', laptop)
  for (const node of [laptop, pi, mini]) await node.sees('laptop', 'mini', 'pi')
  await mini.note('shared', 'by mini')
  await pi.note('shared', 'by pi')
  const all = ['by mini', 'by pi']
  await until('everybody has both notes', async () => (await Promise.all([laptop, pi, mini].map(titles))).every(found => found.join() === all.join()))

  expectRefusal(await laptop.run('evict', 'mini'), 2, { code: 'NEEDS_YES', names: /mini \(id [a-z2-7]{12}, builder, last seen .+\)/, fix: /^elder-node evict [a-z2-7]{12} --yes$/ })
  await laptop.ask('evict', 'mini', '--yes')
  await until('mini has ended', () => !mini.process.running)
  await pi.sees('laptop', 'pi')
  for (const node of [laptop, pi]) expect(await titles(node)).toEqual(all)

  await laptop.ask('evict', 'mini', '--undo', '--yes')
  await until('its note is gone everywhere', async () => (await Promise.all([laptop, pi].map(titles))).every(found => found.join() === 'by pi'))
  const digests = await Promise.all([laptop, pi].map(node => node.digest('shared')))
  expect(digests[0]?.digest).toBe(digests[1]?.digest)
})
