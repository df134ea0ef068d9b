import type { DeviceId } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import { Queue } from './queue.ts'

/** Two ends of one in-process stream: a build on this device takes the same way as any other, without a socket. */
export function loopback (self: DeviceId): [FrameStream, FrameStream] {
  const there = new Queue<Uint8Array>(64)
  const back = new Queue<Uint8Array>(64)
  const end = (out: Queue<Uint8Array>, into: Queue<Uint8Array>): FrameStream => ({
    device: self,
    send: frame => out.push(frame),
    close: async () => { out.end() },
    abort: reason => {
      out.fail(reason)
      into.fail(reason)
    },
    [Symbol.asyncIterator]: () => into[Symbol.asyncIterator](),
  })
  return [end(there, back), end(back, there)]
}
