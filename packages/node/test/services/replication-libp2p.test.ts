/** The same replication over real connections: back-pressure, windows and resets are libp2p's own. */
import { MemoryFeedStore } from '@elder-node/crdt-stack'
import { onTestFinished, test, expect } from 'vitest'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { Replication } from '../../src/services/replication.ts'
import { Stacks } from '../../src/services/stacks.ts'
import { introduce, startAll, TestMesh, until, type TestNode } from '../libp2p/harness.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { eventually } from '../support/eventually.ts'

const crypto = nodeCrypto()
const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

interface Device extends TestNode { stacks: Stacks, replication: Replication }

async function device (mesh: TestMesh, init: { intervalMs?: number } = {}): Promise<Device> {
  const seed = randomBytes(32)
  const node = mesh.node({ seed })
  const stacks = await Stacks.open({
    crypto, signer: signerFromSeed(seed), clock, random: randomBytes, files: new MemoryFiles(), openStore: () => new MemoryFeedStore(),
    dropStore: () => {}, mayWrite: () => true, cuts: () => new Map(), verifyArchive: () => ({ records: [], mayWrite: () => false, cuts: () => new Map() }), log,
  })
  const replication = new Replication({ mesh: node.mesh, stacks, crypto, clock, random: randomBytes, log }, { intervalMs: 600_000, tickMs: 50, ...init })
  onTestFinished(() => { replication.stop() })
  replication.start()
  return { ...node, stacks, replication }
}

const feeds = (device: Device, name: string): string | undefined => device.stacks.named(name)?.stack.digest().feeds
const converged = (devices: Device[], name: string): boolean => feeds(devices[0] as Device, name) !== undefined && devices.every(device => feeds(device, name) === feeds(devices[0] as Device, name))

test('two devices with megabytes for each other exchange them both ways at once; then notes arrive live', async () => {
  const mesh = new TestMesh()
  const [a, b] = [await device(mesh), await device(mesh)]
  for (let i = 0; i < 40; i++) {
    for (const { stacks } of [a, b]) await stacks.open(i % 2 === 0 ? 'even' : 'odd').add({ kind: 'note', title: `note ${i}`, body: `${i} `.repeat(30_000) })
  }
  await startAll([a, b])
  await until(() => converged([a, b], 'even') && converged([a, b], 'odd'), 20_000)
  // Both sides have everything a moment before they know it of each other: the exchange must end.
  await eventually(() => { expect(a.stacks.list({ copies: held => a.replication.copies(held) }).map(({ name, entries, copies }) => [name, entries, copies])).toEqual([['even', 40, 2], ['odd', 40, 2]]) })
  await a.stacks.open('live').add({ kind: 'note', title: 'small' })
  await until(() => converged([a, b], 'live'), 20_000)
  await b.stacks.open('live').add({ kind: 'note', title: 'large', body: 'x'.repeat(200_000) })
  await until(() => a.stacks.named('live')?.entries() === 2, 20_000)
}, 60_000)

test('a third device that joins later holds everything', async () => {
  const mesh = new TestMesh()
  // Gossip right after the start may have nobody to go to yet, and a lost hint is repaired by the next round: there must be one.
  const [a, b, c] = [await device(mesh, { intervalMs: 1000 }), await device(mesh, { intervalMs: 1000 }), await device(mesh, { intervalMs: 1000 })]
  await startAll([a, b])
  await a.stacks.open('repo').add({ kind: 'decision', title: 'from a' })
  await b.stacks.open('repo').add({ kind: 'task', title: 'from b' })
  await until(() => a.stacks.named('repo')?.entries() === 2 && converged([a, b], 'repo'), 20_000)
  await c.mesh.start()
  introduce([a, b, c])
  await until(() => converged([a, b, c], 'repo'), 20_000)
  expect(c.stacks.named('repo')?.stack.entries().map(({ title }) => title).sort()).toEqual(['from a', 'from b'])
}, 60_000)
