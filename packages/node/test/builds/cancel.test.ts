/** A build that is cancelled gives its slot back, whatever its builder was doing for it. */
import { afterEach, expect, it } from 'vitest'
import { decodeBuilderFrame } from '@elder-node/protocol'
import { eventually } from '../support/eventually.ts'
import { Farm } from './farm.ts'

let farm: Farm
afterEach(async () => { await farm.stop() })

it.each(['have', 'receive', 'checkout', 'match'] as const)('frees the slot while its builder is in the middle of %s', async method => {
  farm = new Farm()
  const entered = Promise.withResolvers<void>()
  // Ends when it is told to, like a process that gets its signal; else never.
  const hangs = async (...args: unknown[]): Promise<never> => {
    entered.resolve()
    const { signal } = args.at(-1) as { signal?: AbortSignal }
    return await new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => { reject(signal.reason as Error) }, { once: true })
    })
  }
  const laptop = await farm.add('laptop', { slots: 0 })
  const mini = await farm.add('mini', { slots: 1, disk: { [method]: hangs } })
  const build = await laptop.builds.build({ command: ['make'], outputs: ['out.txt'] })
  await entered.promise
  await build.cancel()
  expect((await build.result).state).toBe('cancelled')
  await eventually(() => { expect([mini.host.leases(), mini.resources.own().slots]).toEqual([[], { total: 1, free: 1 }]) })
})

it('does not wait for a requester that takes nothing more', async () => {
  farm = new Farm()
  const stuck = Promise.withResolvers<void>()
  const laptop = await farm.add('laptop', { slots: 0 })
  const mini = await farm.add('mini', { slots: 1 })
  const onStream = mini.host.onStream.bind(mini.host)
  mini.host.onStream = stream => {
    const broken = Promise.withResolvers<never>()
    broken.promise.catch(() => undefined)
    // The source is there; from the first output on, the other side's window is full.
    const send = async (frame: Uint8Array): Promise<void> => {
      if (decodeBuilderFrame(frame).type !== 'output') return await stream.send(frame)
      stuck.resolve()
      return await broken.promise
    }
    const abort = (reason: Error): void => {
      broken.reject(reason)
      stream.abort(reason)
    }
    return onStream({ device: stream.device, send, abort, close: () => stream.close(), [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() })
  }
  await laptop.builds.build({ command: ['make'], outputs: ['out.txt'] })
  await stuck.promise
  await mini.host.stop()
  expect(mini.host.leases()).toEqual([])
})
