/** One stream of one lease, on the requester's side: frames in and out, source sent, outputs written as they come. */
import { decodeBuilderFrame, ElderError, encodeFrame, equalBytes, inputDigest, MalformedError, manifestDigest, OutputDecoder, verifyResult, type BuilderFrame, type BuildResult, type BuildSpec, type Crypto, type DeviceId, type ManifestFile } from '@elder-node/protocol'
import type { FrameStream } from '../../ports/mesh.ts'
import type { OutputPart, OutputWriter, SentTree, Snapshot, SourceReader, WrittenFile } from '../../ports/source.ts'
import { Queue } from './queue.ts'
import { askForSource, sendSource } from './source-send.ts'

export interface SessionComponents { reader: SourceReader, writer: OutputWriter, crypto: Crypto }

export interface SessionInit {
  builder: DeviceId
  lease: string
  fence: number
  attempt: number
  spec: BuildSpec
  snapshot: Snapshot
  /** Where outputs are written. */
  to: string
  /** The tree as it was sent, which outputs do not overwrite where it has changed; undefined: they do. */
  sent: SentTree | undefined
  logOffset: number
}

/** What a session tells its build. */
export interface SessionEvents {
  frame: (frame: BuilderFrame) => void
  /** So many bytes of source more have left, to a builder that has these commits. */
  sent: (bytes: number, have: string[]) => void
  /** The result is whole and verified: true when it is the build's, and only then are outputs written. */
  result: (result: BuildResult) => boolean
  /** The session is over without a result. */
  broken: (error: Error) => void
  /** The session is over with its outputs written, or not written because of `error`. */
  settled: (result: BuildResult, outputs: WrittenFile[], error: Error | undefined) => void
}

export class Session {
  readonly #components: SessionComponents
  readonly #init: SessionInit
  readonly #events: SessionEvents
  readonly #controller = new AbortController()
  readonly #parts = new Queue<OutputPart>()
  readonly #decoder = new OutputDecoder()
  #stream: FrameStream | undefined
  #writing: Promise<WrittenFile[]> | undefined
  #end: Extract<OutputPart, { type: 'end' }> | undefined
  #attached = false
  #sending = false
  #over = false

  constructor (components: SessionComponents, init: SessionInit, events: SessionEvents) {
    this.#components = components
    this.#init = init
    this.#events = events
  }

  /** Runs until the result is settled or the stream is lost. Never rejects. */
  async run (open: (signal: AbortSignal) => Promise<FrameStream>): Promise<void> {
    try {
      const stream = this.#stream = await open(this.#controller.signal)
      const { lease, fence, attempt, spec, logOffset } = this.#init
      await stream.send(encodeFrame({ type: 'open', lease, fence, attempt, spec, logOffset }))
      for await (const bytes of stream) if (await this.#take(stream, decodeBuilderFrame(bytes))) return await stream.close()
      throw new ElderError('BUILDER_LOST', 'the builder closed the stream before the result')
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  echo (stamp: number): void { void this.#stream?.send(encodeFrame({ type: 'echo', stamp })).catch(() => {}) }

  abort (reason: Error): void {
    this.#over = true
    this.#controller.abort(reason)
    this.#parts.fail(reason)
    this.#stream?.abort(reason)
  }

  /** True when nothing more is to come. */
  async #take (stream: FrameStream, frame: BuilderFrame): Promise<boolean> {
    if (this.#over) return true
    if (frame.type === 'attached') this.#attach()
    this.#events.frame(frame)
    switch (frame.type) {
      case 'attached': if (!frame.resumed) await askForSource(stream, this.#init.snapshot); return false
      case 'have': this.#send(stream, frame); return false
      case 'output': await this.#output(frame.part); return false
      case 'result': await this.#result(stream, frame.result, frame.signature); return true
      case 'failed': this.#over = true; this.#parts.fail(new Error(frame.code)); return true
      default: return false
    }
  }

  /** Each is told and kept: a builder could say it without end. */
  #attach (): void {
    if (this.#attached) throw new MalformedError('a builder says once that it is attached')
    this.#attached = true
  }

  /** Beside the reading loop: the log of a builder that is served from its cache must not wait for a pack. */
  #send (stream: FrameStream, have: Extract<BuilderFrame, { type: 'have' }>): void {
    if (this.#sending) throw new MalformedError('a builder says once what it has')
    this.#sending = true
    sendSource(stream, this.#components.reader, this.#init.snapshot, have, this.#controller.signal, bytes => { this.#events.sent(bytes, have.commits ?? []) }).catch((error: Error) => { stream.abort(error) })
  }

  async #output (bytes: Uint8Array): Promise<void> {
    const part = this.#decoder.push(bytes)
    if (part === undefined) return
    // The end is held back: nothing appears on disk before the result was accepted.
    if (part.type === 'end') this.#end = part
    if (this.#init.spec.outputs.length === 0) return
    this.#writing ??= this.#write()
    // A writer that gave up says so when the result is here: that is no fault of the builder.
    if (part.type !== 'end') await this.#parts.push(part).catch(() => {})
  }

  #write (): Promise<WrittenFile[]> {
    const { to, spec: { outputs }, sent } = this.#init
    const writing = this.#components.writer.write(to, this.#parts, { outputs, signal: this.#controller.signal, ...(sent === undefined ? {} : { sent }) })
    writing.catch((error: unknown) => { this.#parts.fail(error as Error) })
    return writing
  }

  async #result (stream: FrameStream, result: BuildResult, signature: Uint8Array): Promise<void> {
    this.#verify(result, signature, this.#end?.manifest ?? [])
    if (!this.#events.result(result)) return this.abort(new Error('another attempt is the current one'))
    this.#over = true
    try {
      const outputs = await this.#finishOutputs()
      await stream.send(encodeFrame({ type: 'received' })).catch(() => {})
      this.#events.settled(result, outputs, undefined)
    } catch (error) {
      await stream.send(encodeFrame({ type: 'received' })).catch(() => {})
      this.#events.settled(result, [], error as Error)
    }
  }

  async #finishOutputs (): Promise<WrittenFile[]> {
    if (this.#end === undefined || this.#writing === undefined) return []
    await this.#parts.push(this.#end).catch(() => {})
    this.#parts.end()
    return await this.#writing
  }

  #verify (result: BuildResult, signature: Uint8Array, manifest: ManifestFile[]): void {
    const { crypto } = this.#components
    const { builder, lease, fence, spec } = this.#init
    const matches = result.build === spec.build && result.lease === lease && result.fence === fence &&
      equalBytes(result.inputDigest, inputDigest(spec, crypto)) && equalBytes(result.manifestDigest, manifestDigest(manifest, crypto))
    if (!matches || !verifyResult(builder, result, signature, crypto)) throw new ElderError('FORGED_RESULT', 'the result does not belong to this lease, this source or these outputs')
  }

  #fail (error: Error): void {
    this.#parts.fail(error)
    if (this.#over) return
    this.#over = true
    this.#stream?.abort(error)
    this.#events.broken(error)
  }
}
