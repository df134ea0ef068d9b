import { expect, test } from 'vitest'
import type { DeviceId } from '@elder-node/protocol'
import { CONCURRENCY_MAX, Gatekeeper } from '../../src/adapters/libp2p/gate.ts'
import { serveRequests } from '../../src/adapters/libp2p/request-server.ts'
import { CALL, encodeRequestFrame } from '../../src/adapters/libp2p/request-wire.ts'
import type { FrameStream } from '../../src/ports/mesh.ts'
import { eventually } from '../support/eventually.ts'

const log = { debug () {}, info () {}, warn () {}, error () {} }
const device = 'peer' as DeviceId

test('a peer that asks and never reads is not read either, refusals included', async () => {
  let read = 0
  let free = (): void => {}
  const drained = new Promise<void>(resolve => { free = resolve })
  const stream: FrameStream = {
    device, close: async () => {}, abort: () => {},
    send: () => drained,
    async * [Symbol.asyncIterator] () { for (; read < 1000; read++) yield encodeRequestFrame(read, CALL, null) },
  }
  const serving = serveRequests(stream, { name: 'roster', gate: { role: 'member' }, handler: () => null }, new Gatekeeper(() => undefined), log)
  await eventually(() => { expect(read).toBeGreaterThanOrEqual(2 * CONCURRENCY_MAX - 1) })
  for (let turn = 0; turn < 100; turn++) await new Promise(resolve => { setImmediate(resolve) })
  expect(read).toBeLessThan(3 * CONCURRENCY_MAX)
  free()
  await serving
  expect(read).toBe(1000)
})
