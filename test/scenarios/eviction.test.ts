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

test('what an evicted device wrote beyond its cut is kept where it is, and --keep brings it back everywhere', async () => {
  const desk = await lab.join('desk')
  const nas = await lab.admit('nas', desk)
  const phone = await lab.admit('phone', desk)
  const shows = async (node: Node, ...expected: string[]): Promise<void> => {
    await until(`${node.name} shows ${expected.join()}`, async () => (await titles(node)).join() === expected.join())
  }
  await phone.note('shared', 'known to all')
  for (const node of [desk, nas]) await shows(node, 'known to all')

  // One device alone has what comes next, and is away during the eviction.
  await nas.sees('desk', 'nas', 'phone')
  await desk.kill()
  await phone.note('shared', 'late')
  await shows(nas, 'known to all', 'late')
  await nas.kill()
  await phone.kill()
  await desk.start()
  await desk.ask('evict', 'phone', '--yes')
  expectRefusal(await desk.run('evict', 'phone', '--keep', '--yes'), 1, {
    code: 'NOTHING_ASIDE', names: 'phone', fix: /^Start the devices .*elder-node evict [a-z2-7]{12} --keep$/,
  })

  await nas.start()
  await shows(nas, 'known to all')
  expect((await nas.call('stack.verify', { stack: 'shared' })).beyond)
    .toEqual([{ device: { id: phone.id, name: 'phone' }, records: 1 }])
  await desk.sees('desk', 'nas')
  expectRefusal(await desk.run('evict', 'phone', '--keep'), 2, {
    code: 'NEEDS_YES', names: /brings back what phone .* in the stack shared/,
    fix: /^elder-node evict [a-z2-7]{12} --keep --yes$/,
  })
  const kept = [{ stack: 'shared', heads: 1 }]
  expect(await desk.ask('evict', 'phone', '--keep', '--yes')).toMatchObject({ device: { name: 'phone' }, kept })
  for (const node of [desk, nas]) await shows(node, 'known to all', 'late')
  const feeds = async (node: Node): Promise<string | undefined> => (await node.digest('shared'))?.feeds
  await until('both hold the same', async () => await feeds(desk) === await feeds(nas))
  await nas.kill()
  await nas.start()
  expect(await titles(nas)).toEqual(['known to all', 'late'])
})
