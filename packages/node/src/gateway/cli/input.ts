/** Text from a file or from standard input (`-`), bounded. */
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Io } from './io.ts'

export interface InputOptions {
  bytesMax: number
  hint: string
  /** Ends the wait for a person. */
  signal?: AbortSignal | undefined
  /** At a terminal: true when the text needs no Ctrl-D. */
  complete?: ((text: string) => boolean) | undefined
  /** At a terminal: what to say of lines that lead nowhere; they are forgotten then. */
  wrong?: ((text: string) => string | undefined) | undefined
}

/**
 * `hint` is shown when a person sits at the terminal.
 *
 * @throws ElderError `TOO_LARGE`, `USAGE` when it is not UTF-8, or the system's error
 */
export async function readInput (io: Io, path: string, { bytesMax, hint, signal, complete, wrong }: InputOptions): Promise<string> {
  if (path === '-') return await readStdin(io, { bytesMax, hint, signal, complete, wrong })
  const file = resolve(io.cwd, path)
  if (!existsSync(file)) throw new ElderError('NO_SUCH_FILE', `there is no file ${file}`, 'Check the path, or give - to read standard input.')
  const found = await stat(file)
  if (found.isDirectory()) throw new ElderError('NO_SUCH_FILE', `${file} is a folder`, 'Give the path of a file in it, or - to read standard input.')
  if (found.size > bytesMax) throw tooLarge(path, bytesMax)
  return decoded(await readFile(file), file)
}

async function readStdin (io: Io, { bytesMax, hint, signal, complete, wrong }: InputOptions): Promise<string> {
  const asked = io.stdin.isTTY === true
  if (asked) io.stderr.write(`${hint}${complete === undefined ? ', then Ctrl-D' : ' and press Enter:'}\n`)
  signal?.addEventListener('abort', () => io.stdin.destroy(signal.reason as Error), { once: true })
  let chunks: Buffer[] = []
  let held = 0
  for await (const chunk of io.stdin as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk as Buffer)
    held += bytes.length
    if (held > bytesMax) throw tooLarge('standard input', bytesMax)
    chunks.push(bytes)
    if (!asked) continue
    const text = Buffer.concat(chunks).toString('utf8')
    if (complete?.(text) === true) break
    const told = wrong?.(text)
    if (told === undefined) continue
    io.stderr.write(`${told}\n`)
    chunks = []
  }
  return decoded(Buffer.concat(chunks), 'standard input')
}

/** A mark of the byte order is no part of the text. Bytes of another encoding are not guessed. */
function decoded (bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    const fix = 'Convert it first, for instance: iconv -f latin1 -t utf-8'
    throw new ElderError('USAGE', `${what} is not UTF-8 text`, fix)
  }
}

function tooLarge (what: string, bytesMax: number): ElderError {
  return new ElderError('TOO_LARGE', `${what} holds more than ${bytesMax} bytes`, 'Give a smaller text.')
}
