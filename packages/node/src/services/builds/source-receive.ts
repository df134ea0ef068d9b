import { ElderError, LIMITS, type BuilderFrame, type RequestFrame } from '@elder-node/protocol'
import type { SourceCache } from '../../ports/source.ts'

/**
 * The builder's half of the source exchange: `source {ancestors}` -> `have`, then packs until `pack-end`, then `source-ready`.
 * @throws ElderError `SOURCE_INVALID`, `SOURCE_TOO_LARGE`, `SOURCE_UNSUPPORTED`, `SOURCE_BROKEN`
 */
export async function receiveSource (
  cache: SourceCache, owner: string, source: { project: string, commit: string }, frames: AsyncIterator<RequestFrame>,
  send: (frame: BuilderFrame) => Promise<unknown>, signal: AbortSignal,
): Promise<void> {
  const ask = await nextFrame(frames, signal)
  if (ask.type !== 'source') throw new ElderError('SOURCE_BROKEN', `expected source, got ${ask.type}`)
  const here = await cache.have(owner, source.project, [source.commit, ...ask.ancestors], { signal })
  if (here.includes(source.commit)) {
    await send({ type: 'have', commits: null })
  } else {
    await send({ type: 'have', commits: here })
    await cache.receive(owner, source.project, source.commit, packs(frames, signal), { signal })
  }
  await send({ type: 'source-ready' })
}

async function * packs (frames: AsyncIterator<RequestFrame>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let bytes = 0; ;) {
    const frame = await nextFrame(frames, signal)
    if (frame.type === 'pack-end') return
    if (frame.type !== 'pack') throw new ElderError('SOURCE_BROKEN', `expected pack, got ${frame.type}`)
    bytes += frame.data.length
    if (bytes > LIMITS.sourceBytesMax) throw new ElderError('SOURCE_TOO_LARGE', `the source exceeds ${LIMITS.sourceBytesMax} bytes`, 'Ignore what need not travel in .gitignore.')
    yield frame.data
  }
}

/** A requester that says nothing holds a slot no longer than its build lives. */
async function nextFrame (frames: AsyncIterator<RequestFrame>, signal: AbortSignal): Promise<RequestFrame> {
  const next = await unlessAborted(frames.next(), signal).catch((error: unknown) => { throw new ElderError('SOURCE_BROKEN', (error as Error).message, '', {}, { cause: error }) })
  if (next.done === true) throw new ElderError('SOURCE_BROKEN', 'the stream ended before the source was there')
  return next.value
}

async function unlessAborted<T> (work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => { reject(signal.reason as Error) }
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
    promise.catch(() => undefined)
  }
}
