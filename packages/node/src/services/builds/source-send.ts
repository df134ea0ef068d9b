import { encodeFrame, type BuilderFrame, type RequestFrame } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import type { Snapshot, SourceReader } from '../../ports/source.ts'

/** The requester's half: names what it has, and once the builder said what it has, sends the difference. */
export async function askForSource (stream: FrameStream, snapshot: Snapshot): Promise<void> {
  await send(stream, { type: 'source', ancestors: snapshot.ancestors.slice(0, 63) })
}

export async function sendSource (stream: FrameStream, reader: SourceReader, snapshot: Snapshot, have: Extract<BuilderFrame, { type: 'have' }>, signal: AbortSignal): Promise<void> {
  if (have.commits === null) return
  const known = new Set(snapshot.ancestors)
  for await (const data of reader.pack(snapshot, have.commits.filter(commit => known.has(commit)), { signal })) await send(stream, { type: 'pack', data })
  await send(stream, { type: 'pack-end' })
}

function send (stream: FrameStream, frame: RequestFrame): Promise<void> { return stream.send(encodeFrame(frame)) }
