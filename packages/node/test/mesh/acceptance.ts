/**
 * What every implementation of the Mesh port must do: the mesh over libp2p, and the one in memory that tests of services stand on.
 * An implementation's own test calls {@link meshAcceptance} and adds its specials.
 */
import { describe, expect, test } from 'vitest'
import { ElderError, LIMITS, type DeviceId } from '@elder-node/protocol'
import type { Role } from '../../src/api.ts'
import type { FrameStream, Mesh, StreamHandler } from '../../src/ports/mesh.ts'
import { eventually } from '../support/eventually.ts'

export interface MeshAcceptance {
  /**
   * Meshes of one network with these roles, all connected to all. `prepare` registers handlers before they start.
   * They are stopped when the test ends.
   */
  make (roles: Role[], prepare: (meshes: Mesh[]) => void): Promise<Mesh[]>
  /** A mesh that was not started. */
  idle (): Mesh
  /** Everybody hears that the device is a member no more. */
  remove (device: DeviceId): void
  /** A mesh whose door lets `dialer` in and hears at once that it is a member no more; resolves once the dialer has tried. */
  removedAtTheDoor (): Promise<{ listener: Mesh, dialer: Mesh, tried: Promise<unknown> }>
}

const MEMBER = { role: 'member' } as const
const soon = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(30_000) })

async function failure (promise: Promise<unknown>): Promise<ElderError> {
  const error: unknown = await promise.then(() => undefined, (error: unknown) => error)
  expect(error).toBeInstanceOf(ElderError)
  return error as ElderError
}

async function framesOf (stream: FrameStream): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = []
  for await (const frame of stream) frames.push(new Uint8Array(frame))
  return frames
}

const echo: StreamHandler = async stream => { for await (const frame of stream) await stream.send(frame) }

export function meshAcceptance (name: string, { make, idle, remove, removedAtTheDoor }: MeshAcceptance): void {
  const pair = async (prepare: (a: Mesh, b: Mesh) => void, roles: [Role, Role] = ['builder', 'builder']): Promise<[Mesh, Mesh]> => {
    const meshes = await make(roles, ([a, b]) => { prepare(a as Mesh, b as Mesh) })
    return meshes as [Mesh, Mesh]
  }

  describe(`${name}: life`, () => {
    test('says who was admitted once on both sides, and lists them', async () => {
      const seen: string[] = []
      const [a, b] = await pair((a, b) => {
        a.on('admitted', device => { seen.push(`a ${device}`) })
        b.on('admitted', device => { seen.push(`b ${device}`) })
      })
      expect(seen.sort()).toEqual([`a ${b.self}`, `b ${a.self}`].sort())
      expect(a.peers()).toMatchObject([{ device: b.self, path: 'direct' }])
      for (const mesh of [a, b]) expect(mesh.addresses()[0]).toMatch(/\/p2p\/\w+$/)
    })

    test('a listener that throws stops neither the others nor the mesh, and one that was taken away hears nothing', async () => {
      let heard = 0
      const [a, b] = await pair(a => {
        a.on('admitted', () => { throw new Error('a listener failed') })
        a.on('admitted', () => { heard++ })
        a.on('admitted', () => { heard += 100 })()
      })
      expect(heard).toBe(1)
      expect(a.peers().map(({ device }) => device)).toEqual([b.self])
    })

    test('handlers are registered before the start, one for each service', async () => {
      const [a] = await pair(a => {
        a.onRequest('claim', MEMBER, () => null)
        expect(() => { a.onRequest('claim', MEMBER, () => null) }).toThrow()
      })
      expect(() => { a.onRequest('build', MEMBER, () => null) }).toThrow()
      expect(() => { a.onStream('build', MEMBER, echo) }).toThrow()
      expect(() => { a.onGossip('advert', MEMBER, () => {}) }).toThrow()
    })

    test('a stopped mesh has no peers and no addresses, and both sides say that it is gone', async () => {
      const gone: DeviceId[] = []
      const [a, b] = await pair(a => { a.on('gone', device => { gone.push(device) }) })
      await b.stop()
      await eventually(() => { expect(gone).toEqual([b.self]) })
      expect([b.peers(), b.addresses(), a.peers()]).toEqual([[], [], []])
      expect((await failure(a.request(b.self, 'claim', null, { signal: AbortSignal.timeout(1_000) }))).code).toMatch(/^(UNREACHABLE|TIMEOUT)$/)
    })

    test('stops before it started, and twice, without a word', async () => {
      const mesh = idle()
      await mesh.stop()
      await mesh.start()
      await mesh.stop()
      await mesh.stop()
      expect([mesh.addresses(), mesh.peers()]).toEqual([[], []])
    })

    test('measures a round trip when asked, and reports it', async () => {
      const measured: Array<[DeviceId, number]> = []
      const [a, b] = await pair(a => { a.on('rtt', (device, rttMs) => { measured.push([device, rttMs]) }) })
      const rttMs = await a.probe(b.self, soon())
      expect(rttMs).toBeGreaterThan(0)
      await eventually(() => { expect(measured.some(([device]) => device === b.self)).toBe(true) })
    })

    test('a device that was removed is disconnected at once, and its calls are refused', async () => {
      let served = 0
      const [a, b] = await pair((_a, b) => { b.onRequest('claim', MEMBER, () => ++served) })
      await a.request(b.self, 'claim', null, soon())
      remove(a.self)
      await eventually(() => { expect(b.peers()).toEqual([]) })
      await failure(a.request(b.self, 'claim', null, { signal: AbortSignal.timeout(1_000) }))
      expect(served).toBe(1)
    })
  })

  test(`${name}: a device that is removed between its yes at the door and its connection is never a peer`, async () => {
    const { listener, dialer, tried } = await removedAtTheDoor()
    const admitted: DeviceId[] = []
    listener.on('admitted', device => { admitted.push(device) })
    await tried
    // Whoever is let in later is admitted after whoever came before.
    await eventually(() => { expect(listener.peers()).toEqual([]) })
    expect([admitted, dialer.peers()]).toEqual([[], []])
  })

  describe(`${name}: requests`, () => {
    test('carry values both ways, as copies, from the device that asked', async () => {
      const [a, b] = await pair((_a, b) => { b.onRequest('claim', MEMBER, (from, message) => ({ from, message })) })
      const message = { slots: 2, bytes: Uint8Array.of(1, 2), none: null, list: ['ä', -1, true] }
      expect(await a.request(b.self, 'claim', message, soon())).toEqual({ from: a.self, message })
    })

    test('a slow one holds up no other, and each answer finds its caller', async () => {
      const slow = Promise.withResolvers<void>()
      const [a, b] = await pair((_a, b) => {
        b.onRequest('claim', MEMBER, async (_from, message) => {
          if (message === 0) await slow.promise
          return message
        })
      })
      const all = Array.from({ length: 100 }, (_, i) => a.request(b.self, 'claim', i, soon()))
      expect(await Promise.all(all.slice(1))).toEqual(Array.from({ length: 99 }, (_, i) => i + 1))
      slow.resolve()
      expect(await all[0]).toBe(0)
    })

    test('more than the gate lets in at once wait their turn', async () => {
      let open = 0
      let most = 0
      const gate = { ...MEMBER, concurrencyMax: 4 }
      const [a, b] = await pair((a, b) => {
        for (const mesh of [a, b]) {
          mesh.onRequest('claim', gate, async (_from, message) => {
            most = Math.max(most, ++open)
            await new Promise(resolve => { setImmediate(resolve) })
            open--
            return message
          })
        }
      })
      const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => a.request(b.self, 'claim', i, soon())))
      expect(answers).toEqual(Array.from({ length: 40 }, (_, i) => i))
      expect(most).toBeGreaterThan(0)
      expect(most).toBeLessThanOrEqual(4)
    })

    test('an ElderError travels whole; of any other error nothing but INTERNAL', async () => {
      const [a, b] = await pair((_a, b) => {
        b.onRequest('claim', MEMBER, () => { throw new ElderError('NO_SLOT', 'all slots are taken', 'wait', { queue: 3 }) })
        b.onRequest('build', MEMBER, () => { throw new Error('/home/someone/secret') })
      })
      const told = await failure(a.request(b.self, 'claim', null, soon()))
      expect(told.toJSON()).toEqual({ code: 'NO_SLOT', message: 'all slots are taken', fix: 'wait', data: { queue: 3 } })
      const inner = await failure(a.request(b.self, 'build', null, soon()))
      expect(inner.code).toBe('INTERNAL')
      expect(JSON.stringify(inner)).not.toContain('secret')
    })

    test('need the role of the gate', async () => {
      let served = 0
      const [a, b] = await pair((_a, b) => {
        b.onRequest('roster', { role: 'admin' }, () => ++served)
        b.onRequest('claim', { role: 'builder' }, () => 'fine')
      })
      expect((await failure(a.request(b.self, 'roster', null, soon()))).code).toBe('FORBIDDEN')
      expect(served).toBe(0)
      expect(await a.request(b.self, 'claim', null, soon())).toBe('fine')
    })

    test('to a service without a handler are UNREACHABLE, and so are those to a stranger', async () => {
      const [a, b] = await pair(() => {})
      expect((await failure(a.request(b.self, 'claim', null, soon()))).code).toBe('UNREACHABLE')
      expect((await failure(a.request('a'.repeat(52) as DeviceId, 'claim', null, soon()))).code).toBe('UNREACHABLE')
    })

    test('end at the deadline of the gate, whatever the handler does', async () => {
      const [a, b] = await pair((_a, b) => { b.onRequest('claim', { ...MEMBER, deadlineMs: 50 }, () => new Promise(() => {})) })
      expect((await failure(a.request(b.self, 'claim', null, soon()))).code).toBe('TIMEOUT')
    })

    test('are bounded, both ways', async () => {
      const [a, b] = await pair((_a, b) => {
        b.onRequest('sync', MEMBER, (_from, message) => message === null ? new Uint8Array(LIMITS.frameBytesMax + 1) : 'fine')
      })
      expect((await failure(a.request(b.self, 'sync', null, soon()))).code).toBe('TOO_LARGE')
      expect((await failure(a.request(b.self, 'sync', new Uint8Array(LIMITS.frameBytesMax), soon()))).code).toBe('TOO_LARGE')
      expect(await a.request(b.self, 'sync', new Uint8Array(LIMITS.frameBytesMax - 64), soon())).toBe('fine')
    })

    test('that the caller gives up end here and abort the work there', async () => {
      const begun = Promise.withResolvers<AbortSignal>()
      const [a, b] = await pair((_a, b) => {
        b.onRequest('claim', MEMBER, (_from, _message, { signal }) => {
          begun.resolve(signal)
          return new Promise(() => {})
        })
      })
      const caller = new AbortController()
      const wait = failure(a.request(b.self, 'claim', null, { signal: caller.signal }))
      const there = await begun.promise
      caller.abort()
      expect((await wait).code).toBe('ABORTED')
      await eventually(() => { expect((there.reason as ElderError).code).toBe('ABORTED') })
      expect((await failure(a.request(b.self, 'claim', null, { signal: AbortSignal.timeout(30) }))).code).toBe('TIMEOUT')
      expect((await failure(a.request(b.self, 'claim', null, { signal: AbortSignal.abort() }))).code).toBe('ABORTED')
    })

    test('that wait when the connection closes are UNREACHABLE here, and their work is aborted there', async () => {
      const begun = Promise.withResolvers<AbortSignal>()
      const [a, b] = await pair((_a, b) => {
        b.onRequest('claim', MEMBER, (_from, _message, { signal }) => {
          begun.resolve(signal)
          return new Promise(() => {})
        })
      })
      const wait = failure(a.request(b.self, 'claim', null, soon()))
      const there = await begun.promise
      await b.expel(a.self)
      expect((await wait).code).toBe('UNREACHABLE')
      await eventually(() => { expect((there.reason as ElderError).code).toBe('UNREACHABLE') })
    })
  })

  describe(`${name}: streams`, () => {
    test('keep frames whole and in order, the empty one too, and end after the last', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', MEMBER, echo) })
      const stream = await a.openStream(b.self, 'build', soon())
      expect(stream.device).toBe(b.self)
      const sent = [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(LIMITS.frameBytesMax).fill(7)]
      for (const frame of sent) await stream.send(frame)
      await stream.close()
      await stream.close()
      expect(await framesOf(stream)).toEqual(sent)
    })

    test('a frame that is changed after it was sent arrives as it was', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', MEMBER, echo) })
      const stream = await a.openStream(b.self, 'build', soon())
      const frame = Uint8Array.of(1)
      await stream.send(frame)
      frame[0] = 9
      await stream.close()
      expect(await framesOf(stream)).toEqual([Uint8Array.of(1)])
    })

    test('are half-closed: who has ended its side still reads', async () => {
      const ended = Promise.withResolvers<void>()
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async stream => {
          expect(await framesOf(stream)).toEqual([Uint8Array.of(1)])
          ended.resolve()
          await stream.send(Uint8Array.of(2))
        })
      })
      const stream = await a.openStream(b.self, 'build', soon())
      await stream.send(Uint8Array.of(1))
      await stream.close()
      await ended.promise
      expect(await framesOf(stream)).toEqual([Uint8Array.of(2)])
      await expect(stream.send(Uint8Array.of(3))).rejects.toThrow()
    })

    test('a handler that ends at once is read whole, however late reading starts; a header may be read first', async () => {
      const handled = Promise.withResolvers<void>()
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async stream => {
          for (let i = 0; i < 5; i++) await stream.send(Uint8Array.of(i))
          handled.resolve()
        })
      })
      const stream = await a.openStream(b.self, 'build', soon())
      await handled.promise
      await a.probe(b.self, soon())
      for await (const frame of stream) {
        expect([...frame]).toEqual([0])
        break
      }
      expect(await framesOf(stream)).toEqual([1, 2, 3, 4].map(i => Uint8Array.of(i)))
    })

    test('a reader that does not read holds the sender up, and goes on where it was', async () => {
      const go = Promise.withResolvers<void>()
      let received = 0
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async stream => {
          await go.promise
          for await (const frame of stream) received += frame.length
        })
      })
      const stream = await a.openStream(b.self, 'build', soon())
      const chunk = new Uint8Array(LIMITS.chunkBytesMax)
      const CHUNKS = 80
      let sent = 0
      const sending = (async () => {
        for (; sent < CHUNKS; sent++) await stream.send(chunk)
        await stream.close()
      })()
      // Held up: the count stands still while everything else moves on.
      for (let last = -1; last !== sent;) {
        last = sent
        for (let i = 0; i < 20; i++) await a.probe(b.self, soon())
      }
      expect(sent).toBeLessThan(CHUNKS)
      expect(sent * chunk.length).toBeLessThan(16_777_216)
      go.resolve()
      await sending
      expect(await framesOf(stream)).toEqual([])
      expect(received).toBe(CHUNKS * chunk.length)
    })

    test('a frame above the bound is refused where it is sent, and the stream lives', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', MEMBER, echo) })
      const stream = await a.openStream(b.self, 'build', soon())
      expect((await failure(stream.send(new Uint8Array(LIMITS.frameBytesMax + 1)))).code).toBe('TOO_LARGE')
      await stream.send(Uint8Array.of(1))
      await stream.close()
      expect(await framesOf(stream)).toEqual([Uint8Array.of(1)])
    })

    test('that the caller aborts break there, and the signal of the handler fires', async () => {
      const seen = Promise.withResolvers<{ error: unknown, aborted: boolean }>()
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async (stream, { signal }) => {
          await stream.send(Uint8Array.of(1))
          await framesOf(stream).then(() => { seen.resolve({ error: undefined, aborted: signal.aborted }) },
            (error: unknown) => { seen.resolve({ error, aborted: signal.aborted }) })
        })
      })
      const stream = await a.openStream(b.self, 'build', soon())
      for await (const _frame of stream) break
      const why = new Error('changed my mind')
      stream.abort(why)
      const { error, aborted } = await seen.promise
      expect([(error as ElderError).code, aborted]).toEqual(['STREAM_RESET', true])
      await expect(framesOf(stream)).rejects.toBe(why)
      await expect(stream.send(Uint8Array.of(1))).rejects.toThrow()
    })

    test('whose handler fails are an error, never a silent end', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', MEMBER, async () => { throw new Error('the handler failed') }) })
      const stream = await a.openStream(b.self, 'build', soon())
      expect((await failure(framesOf(stream))).code).toBe('STREAM_RESET')
    })

    test('break at the deadline of the gate', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', { ...MEMBER, deadlineMs: 50 }, () => new Promise(() => {})) })
      const stream = await a.openStream(b.self, 'build', soon())
      expect((await failure(framesOf(stream))).code).toBe('STREAM_RESET')
    })

    test('break on both sides when the connection closes', async () => {
      const there = Promise.withResolvers<ElderError>()
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async stream => {
          await stream.send(Uint8Array.of(1))
          there.resolve(await failure(framesOf(stream)))
        })
      })
      const stream = await a.openStream(b.self, 'build', soon())
      for await (const _frame of stream) break
      await a.expel(b.self)
      expect((await failure(framesOf(stream))).code).toBe('STREAM_RESET')
      expect((await there.promise).code).toBe('STREAM_RESET')
    })

    test('of a role below the gate break, and no handler runs', async () => {
      let served = 0
      const [a, b] = await pair((_a, b) => {
        b.onStream('build', MEMBER, async () => { served++ })
        b.onRequest('claim', { role: 'observer' }, () => 'fine')
      }, ['observer', 'builder'])
      await failure(a.openStream(b.self, 'build', soon()).then(framesOf))
      expect(served).toBe(0)
      expect(await a.request(b.self, 'claim', null, soon())).toBe('fine')
    })

    test('beyond the bound of the gate break, and those that are open live', async () => {
      const [a, b] = await pair((_a, b) => { b.onStream('build', { ...MEMBER, concurrencyMax: 2 }, echo) })
      const open = [await a.openStream(b.self, 'build', soon()), await a.openStream(b.self, 'build', soon())]
      for (const stream of open) {
        await stream.send(Uint8Array.of(1))
        for await (const _frame of stream) break
      }
      await failure(a.openStream(b.self, 'build', soon()).then(framesOf))
      for (const stream of open) {
        await stream.send(Uint8Array.of(2))
        await stream.close()
        expect(await framesOf(stream)).toEqual([Uint8Array.of(2)])
      }
    })

    test('of a service without a handler are UNREACHABLE', async () => {
      const [a, b] = await pair((_a, b) => { b.onRequest('build', MEMBER, () => null) })
      expect((await failure(a.openStream(b.self, 'build', soon()))).code).toBe('UNREACHABLE')
    })
  })

  describe(`${name}: gossip`, () => {
    test('reaches every other device with its author, and not its sender; a role below the gate is not heard', async () => {
      const heard: string[][] = [[], [], [], []]
      const [a, b, , observer] = await make(['builder', 'builder', 'builder', 'observer'], meshes => {
        for (const [i, mesh] of meshes.entries()) {
          mesh.onGossip('advert', MEMBER, (from, message) => {
            heard[i]?.push(`${from} ${JSON.stringify(message)}`)
            if (message === 'fails') throw new Error('a handler failed')
          })
        }
      }) as [Mesh, Mesh, Mesh, Mesh]
      // Who carries a topic travels after the hello: says it again until all have heard.
      await eventually(async () => {
        await a.broadcast('advert', 'fails')
        expect(heard.slice(1).every(messages => messages.length > 0)).toBe(true)
      }, { intervalMs: 50 })
      expect(heard.flat().every(message => message === `${a.self} "fails"`)).toBe(true)
      expect(heard[0]).toEqual([])
      await observer.broadcast('advert', 'of an observer')
      await eventually(async () => {
        expect(await b.broadcast('advert', { n: 3 })).toBeGreaterThan(0)
        expect([0, 2, 3].every(i => heard[i]?.at(-1) === `${b.self} {"n":3}`)).toBe(true)
      }, { intervalMs: 50 })
      expect(heard.flat().some(message => message.includes('observer'))).toBe(false)
    })

    test('is bounded', async () => {
      const [a] = await pair(() => {})
      expect((await failure(a.broadcast('advert', new Uint8Array(LIMITS.gossipBytesMax)))).code).toBe('TOO_LARGE')
    })
  })
}
