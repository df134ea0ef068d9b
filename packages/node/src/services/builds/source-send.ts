import { decodeBuilderFrame, encodeFrame, type BuilderFrame, type RequestFrame } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import type { Snapshot, SourceReader } from '../../ports/source.ts'

/** The requester's half: names what it has, and once the builder said what it has, sends the difference. */
export async function askForSource (stream: FrameStream, snapshot: Snapshot): Promise<void> {
  await send(stream, { type: 'source', ancestors: snapshot.ancestors.slice(0, 63) })
}

export async function sendSource (stream: FrameStream, reader: SourceReader, snapshot: Snapshot, have: Extract<BuilderFrame, { type: 'have' }>, signal: AbortSignal, sent: (bytes: number) => void = () => {}): Promise<void> {
  if (have.commits === null) return
  const known = new Set(snapshot.ancestors)
  for await (const data of reader.pack(snapshot, have.commits.filter(commit => known.has(commit)), { signal })) {
    await send(stream, { type: 'pack', data })
    sent(data.length)
  }
  await send(stream, { type: 'pack-end' })
}

/** Sends the source ahead of a slot, over a stream of its own, which ends here in any case. */
export async function prefetchSource (stream: FrameStream, reader: SourceReader, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
  const abort = (): void => { stream.abort(signal.reason as Error) }
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    await send(stream, { type: 'prefetch', project: snapshot.project, commit: snapshot.commit })
    await askForSource(stream, snapshot)
    for await (const bytes of stream) {
      const frame = decodeBuilderFrame(bytes)
      if (frame.type === 'have') await sendSource(stream, reader, snapshot, frame, signal)
      else break
    }
    await stream.close()
  } catch (error) {
    stream.abort(error as Error)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function send (stream: FrameStream, frame: RequestFrame): Promise<void> { return stream.send(encodeFrame(frame)) }
