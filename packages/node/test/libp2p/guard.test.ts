import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import { Buckets } from '../../src/adapters/libp2p/bucket.ts'
import { Gatekeeper } from '../../src/adapters/libp2p/gate.ts'
import { guard } from '../../src/adapters/libp2p/guard.ts'
import { deviceOfSeed, peerIdOf } from '../../src/adapters/libp2p/peer-id.ts'
import { TestMesh } from './harness.ts'

const mesh = new TestMesh()
const [member, stranger] = [deviceOfSeed(randomBytes(32)), deviceOfSeed(randomBytes(32))]
const KAD = `/elder/${mesh.id}/kad/1.0.0`

/** What libp2p would keep, behind the guard. */
function guarded (): { registrar: Registrar, open: (protocol: string, device?: string) => { aborted: string[], served: number, receive: (bytes: number) => void } , advance: (ms: number) => void } {
  const handlers = new Map<string, StreamHandler>()
  let nowMs = 0
  const registrar = { handle: async (protocol: string, handler: StreamHandler) => { handlers.set(protocol, handler) } } as unknown as Registrar
  guard({ mesh: mesh.id, gatekeeper: new Gatekeeper(device => device === member ? 'observer' : undefined), nowMs: () => nowMs })({ registrar })
  return {
    registrar,
    advance: ms => { nowMs += ms },
    open: (protocol, device = member) => {
      const aborted: string[] = []
      let listener = (_event: { data: { byteLength: number } }): void => {}
      const stream = { abort: (error: Error) => { aborted.push(error.message) }, addEventListener: (_name: string, heard: typeof listener) => { listener = heard } }
      const opened = { aborted, served: 0, receive: (byteLength: number) => { listener({ data: { byteLength } }) } }
      handlers.get(protocol)?.(Object.assign(stream, { served: () => { opened.served++ } }) as unknown as Stream, { remotePeer: peerIdOf(device as never) } as unknown as Connection)
      return opened
    },
  }
}

const serve: StreamHandler = stream => { (stream as unknown as { served: () => void }).served() }

describe('the guard', () => {
  test('serves members, in the same turn, and nobody else', async () => {
    const { registrar, open } = guarded()
    await registrar.handle('/ipfs/id/1.0.0', serve)
    expect(open('/ipfs/id/1.0.0')).toMatchObject({ aborted: [], served: 1 })
    expect(open('/ipfs/id/1.0.0', stranger)).toMatchObject({ aborted: ['/ipfs/id/1.0.0 is for members'], served: 0 })
  })

  test('lets no protocol be registered that has no gate', async () => {
    const { registrar } = guarded()
    for (const protocol of ['/ipfs/new/1.0.0', '/floodsub/1.0.0', '/elder/other/kad/1.0.0', `/elder/${mesh.id}/kad/2.0.0`, `/elder/${mesh.id}/claim/1/more`]) {
      await expect(registrar.handle(protocol, serve)).rejects.toThrow('no gate')
    }
  })

  test('bounds the streams that one device opens, and what one of them brings', async () => {
    const { registrar, open, advance } = guarded()
    for (const protocol of ['/ipfs/ping/1.0.0', KAD]) await registrar.handle(protocol, serve)
    const served = (): number => Array.from({ length: 20 }, () => open('/ipfs/ping/1.0.0').served).reduce((sum, one) => sum + one, 0)
    expect(served()).toBe(8)
    advance(3_000)
    expect(served()).toBe(3)
    const stream = open(KAD)
    stream.receive(16_000)
    expect(stream.aborted).toEqual([])
    stream.receive(1_000)
    expect(stream.aborted).toEqual(['more than 16384 bytes on one stream'])
  })
})

test('buckets are bounded: who has not come for four thousand others is forgotten, and has a full one', () => {
  const buckets = new Buckets(() => 0)
  const take = (name: string): boolean => buckets.take(name, { burst: 1, perSecond: 1 })
  expect([take('a'), take('a')]).toEqual([true, false])
  for (let n = 0; n < 4095; n++) take(`other ${n}`)
  expect(take('a')).toBe(false)
  for (let n = 0; n < 4096; n++) take(`another ${n}`)
  expect(take('a')).toBe(true)
})
