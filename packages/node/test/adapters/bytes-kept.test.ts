import { decode, encode } from '@elder-node/protocol'
import { expect, test } from 'vitest'

// Here and not beside the codec: only Node pools small buffers.
test('bytes that are kept keep nothing else: neither the pool they were encoded in nor the read they came in', () => {
  const made = encode(['entry', new Uint8Array(100)])
  expect(made.buffer.byteLength).toBe(made.length)
  const read = Buffer.concat([Buffer.alloc(60_000), made, Buffer.alloc(5_000)]).subarray(60_000, 60_000 + made.length)
  const [, bytes] = decode(read, 1_000) as [string, Uint8Array]
  expect([bytes.length, bytes.buffer.byteLength]).toEqual([100, 100])
})
