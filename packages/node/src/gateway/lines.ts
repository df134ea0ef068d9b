/** Newline-delimited JSON over a socket: bounded when it comes in, with back-pressure when it goes out. */
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { MalformedError } from '@elder-node/protocol'

/** Yields each line's JSON value; leaves the stream open, so that an answer can still be written. @throws MalformedError for a line above the bound or one that is not JSON */
export async function * readJsonLines (source: Readable, bytesMax: number): AsyncGenerator<unknown> {
  let parts: Buffer[] = []
  let held = 0
  for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    let rest = chunk
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      bounded(held + at, bytesMax)
      yield parse(Buffer.concat([...parts, rest.subarray(0, at)]))
      parts = []
      held = 0
      rest = rest.subarray(at + 1)
    }
    held += rest.length
    bounded(held, bytesMax)
    if (rest.length > 0) parts.push(rest)
  }
  if (held > 0) throw new MalformedError('the connection ended in the middle of a line')
}

function bounded (bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw new MalformedError(`a line of more than ${bytesMax} bytes`)
}

function parse (line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'))
  } catch {
    throw new MalformedError('a line that is not JSON')
  }
}

/** Writes one document and waits while the other side is slow. Rejects when `signal` aborts: the other side is gone. */
export async function writeJsonLine (target: Writable, value: unknown, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  if (!target.write(`${JSON.stringify(value)}\n`)) await once(target, 'drain', { signal })
}
