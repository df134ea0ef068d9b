import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS, MalformedError } from '@elder-node/protocol'
import { FrameDecoder, encodeEnd, encodeFrame } from '../../src/adapters/libp2p/frame-decoder.ts'
import type { FrameStream } from '../../src/ports/mesh.ts'
import { TestMesh, soon, startAll } from './harness.ts'
import type { TestNode } from './harness.ts'

describe('the frame decoder', () => {
  test('any frames, cut anywhere, come out as they went in', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (frames, cuts) => {
      const wire = Buffer.concat([...frames.map(encodeFrame), encodeEnd()])
      const decoder = new FrameDecoder(300)
      const out: Uint8Array[] = []
      for (let at = 0, i = 0; at < wire.length; i++) {
        const size = cuts[i % cuts.length] as number
        out.push(...decoder.push(wire.subarray(at, at + size)))
        at += size
      }
      expect(out.map(frame => [...frame])).toEqual(frames.map(frame => [...frame]))
      expect(decoder.ended).toBe(true)
      expect(decoder.partial).toBe(false)
    }))
  })

  test('a frame above the bound fails at its header, bytes after the end fail', () => {
    expect(() => new FrameDecoder(10).push(Uint8Array.of(0, 0, 0, 11))).toThrow(MalformedError)
    expect(() => new FrameDecoder(10).push(Buffer.concat([encodeEnd(), Uint8Array.of(0)]))).toThrow(MalformedError)
  })

  test('random bytes never hang, and hold no more than arrived', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 2_000 }), bytes => {
      const decoder = new FrameDecoder(1_000)
      try {
        for (const frame of decoder.push(bytes)) expect(frame.length).toBeLessThanOrEqual(1_000)
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError)
      }
    }))
  })
})

async function pair (serve: (stream: FrameStream) => Promise<void>): Promise<[TestNode, TestNode]> {
  const mesh = new TestMesh()
  const nodes: [TestNode, TestNode] = [mesh.node(), mesh.node()]
  nodes[1].mesh.onStream('build', { role: 'member' }, serve)
  await startAll(nodes)
  return nodes
}

describe('streams', () => {
  test('20 MB through a slow reader, in order, without piling up in the sender', async () => {
    const CHUNKS = 80
    let received = 0
    let sent = 0
    let aheadMax = 0
    const [a, b] = await pair(async stream => {
      for await (const frame of stream) {
        expect(frame[0]).toBe(received % 256)
        received++
        aheadMax = Math.max(aheadMax, sent - received)
        if (received % 8 === 0) await new Promise(resolve => { setTimeout(resolve, 5) })
      }
    })
    const stream = await a.mesh.openStream(b.id, 'build', soon())
    const chunk = randomBytes(LIMITS.chunkBytesMax)
    for (; sent < CHUNKS; sent++) {
      chunk[0] = sent % 256
      await stream.send(chunk)
    }
    await stream.close()
    for await (const _frame of stream) expect.unreachable('the handler sends nothing')
    expect(received).toBe(CHUNKS)
    // Both windows and read-ahead: 4 MiB each at most, of 256 KiB chunks.
    expect(aheadMax).toBeLessThan(48)
  })

  test('a reader that stops and goes holds the sender up each time, and never overruns its own buffer', async () => {
    const CHUNKS = 120
    let sent = 0
    let received = 0
    let failed: Error | undefined
    const [a, b] = await pair(async stream => {
      try {
        for await (const _frame of stream) {
          received++
          // Just after a resume, and for as long as it takes until the sender is held up again.
          if (received % 6 === 0 && sent < CHUNKS) await stalled(() => sent)
        }
      } catch (error) {
        failed = error as Error
      }
    })
    const stream = await a.mesh.openStream(b.id, 'build', soon(15_000))
    const chunk = randomBytes(LIMITS.chunkBytesMax)
    for (; sent < CHUNKS; sent++) await stream.send(chunk)
    await stream.close()
    await drain(stream)
    expect(failed).toBeUndefined()
    expect(received).toBe(CHUNKS)
  }, 20_000)

  test('a handler that sends and ends at once is read whole, however late reading starts', async () => {
    const [a, b] = await pair(async stream => {
      for (let i = 0; i < 3; i++) await stream.send(Uint8Array.of(i))
    })
    for (let round = 0; round < 5; round++) {
      const stream = await a.mesh.openStream(b.id, 'build', soon())
      await new Promise(resolve => { setTimeout(resolve, 50) })
      const frames: number[] = []
      for await (const frame of stream) frames.push(...frame)
      expect(frames).toEqual([0, 1, 2])
      await stream.close()
    }
  })

  test('a header may be read first and the rest after; a paused stream that was closed is read to its end', async () => {
    const sent = Promise.withResolvers<void>()
    const [a, b] = await pair(async stream => {
      for (let i = 0; i < 10; i++) await stream.send(new Uint8Array(LIMITS.chunkBytesMax).fill(i))
      sent.resolve()
    })
    const stream = await a.mesh.openStream(b.id, 'build', soon())
    const seen: number[] = []
    for await (const frame of stream) {
      seen.push(frame[0] as number)
      break
    }
    // One connection keeps its order: after this answer the end of the stream is here too.
    await sent.promise
    await a.mesh.probe(b.id, soon())
    for await (const frame of stream) seen.push(frame[0] as number)
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('echo both ways; what a cut loses is an error, never a silent end', async () => {
    const [a, b] = await pair(async stream => {
      for await (const frame of stream) {
        if (frame.length === 0) throw new Error('the handler failed')
        await stream.send(frame)
      }
    })
    const stream = await a.mesh.openStream(b.id, 'build', soon())
    await stream.send(Uint8Array.of(7))
    for await (const frame of stream) {
      expect([...frame]).toEqual([7])
      break
    }
    await stream.send(new Uint8Array(0))
    await expect(drain(stream)).rejects.toMatchObject({ code: 'STREAM_RESET' })
    await expect(stream.send(Uint8Array.of(1))).rejects.toThrow()
  })

  test('a role below the gate, and a frame above the bound, break the stream and nothing else', async () => {
    const mesh = new TestMesh()
    const nodes: [TestNode, TestNode] = [mesh.node({ role: 'observer' }), mesh.node()]
    let served = 0
    nodes[1].mesh.onStream('build', { role: 'member' }, async () => { served++ })
    nodes[1].mesh.onRequest('claim', { role: 'observer' }, () => 'fine')
    await startAll(nodes)
    const [a, b] = nodes
    await expect(a.mesh.openStream(b.id, 'build', soon()).then(drain)).rejects.toThrow()
    expect(served).toBe(0)
    expect(await a.mesh.request(b.id, 'claim', null, soon())).toBe('fine')
  })
})

async function drain (stream: FrameStream): Promise<void> {
  for await (const _frame of stream) continue
}

/** Until the count has stood still for 60 ms: the sender is held up. */
async function stalled (count: () => number): Promise<void> {
  for (let last = -1; last !== count();) {
    last = count()
    await new Promise(resolve => { setTimeout(resolve, 60) })
  }
}
