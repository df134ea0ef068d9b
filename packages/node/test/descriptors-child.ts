/**
 * A node of the command line whose process runs out of file descriptors: eats all of them until a part of the node has felt it, gives
 * them back, and says whether the node still answers and writes.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { processIo } from '../src/gateway/cli/io.ts'
import { runCli } from '../src/gateway/cli/main.ts'
import { ControlClient } from '../src/gateway/control-client.ts'
import { locate } from '../src/gateway/location.ts'
import { createNode } from '../src/node.ts'

const dir = process.argv[2] as string
const client = new ControlClient(locate(dir, {}))
const signal = AbortSignal.timeout(50_000)
const until = async <T> (what: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> => {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    if (signal.aborted) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => { setTimeout(resolve, 20) })
  }
}

const eaten: number[] = []
const eat = (): void => {
  try {
    for (;;) eaten.push(openSync('/dev/null', 'r'))
  } catch {
    // None is left.
  }
}

void runCli(['join', '--dir', dir, '--listen', '/ip4/0.0.0.0/tcp/0', '--no-mdns', '--engine', 'none'], processIo(async () => createNode))
await until('a node', () => client.call('status', {}, { signal }).catch(() => undefined))
const log = openSync(join(dir, 'node.log'), 'r')
const read = (): string => { const buffer = Buffer.alloc(1 << 20); return buffer.toString('utf8', 0, readSync(log, buffer, 0, buffer.length, 0)) }
const starved = setInterval(eat, 5)
eat()
await until('somebody feels it', () => /"level":40.*(EMFILE|system error 24)/.test(read()) ? true : undefined)
clearInterval(starved)
for (const fd of eaten) closeSync(fd)
await client.call('stack.add', { stack: 'notes', entry: { kind: 'note', title: 'after', body: '' } }, { signal })
console.log(`answers: ${(await client.call('status', {}, { signal })).stacks.map(({ name }) => name).join()}`)
process.exit(0)
