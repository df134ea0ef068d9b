/** Text from a file or from standard input (`-`), bounded. */
import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Io } from './io.ts'

/** `hint` is shown when a person sits at the terminal. @throws ElderError `TOO_LARGE`, or the system's error */
export async function readInput (io: Io, path: string, { bytesMax, hint }: { bytesMax: number, hint: string }): Promise<string> {
  if (path === '-') return await readStdin(io, bytesMax, hint)
  const file = resolve(io.cwd, path)
  if ((await stat(file)).size > bytesMax) throw tooLarge(path, bytesMax)
  return await readFile(file, 'utf8')
}

async function readStdin (io: Io, bytesMax: number, hint: string): Promise<string> {
  if (io.stdin.isTTY === true) io.stderr.write(`${hint}, then Ctrl-D\n`)
  const chunks: Buffer[] = []
  let held = 0
  for await (const chunk of io.stdin as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk as Buffer)
    held += bytes.length
    if (held > bytesMax) throw tooLarge('standard input', bytesMax)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function tooLarge (what: string, bytesMax: number): ElderError {
  return new ElderError('TOO_LARGE', `${what} holds more than ${bytesMax} bytes`, 'Give a smaller text.')
}
