/**
 * A node in a program of its owner, which has no guard of its own: eats every file descriptor until each part of libp2p that lists the
 * interfaces of the machine by a timer has tried and failed, gives them back, and says what nobody caught and whether the node writes.
 */
import { closeSync, openSync } from 'node:fs'
import os, { networkInterfaces } from 'node:os'
import { createNode } from '../src/index.ts'

Error.stackTraceLimit = 50
const WANTED = ['multicast-dns', 'libp2p/dist/src/address-manager']
const uncaught: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, (error: Error) => { uncaught.push(error.message) })

const failedFor = new Set<string>()
/** As libp2p calls it: only who asked in vain is noted. */
os.networkInterfaces = () => {
  try {
    return networkInterfaces()
  } catch (error) {
    const { stack = '' } = error as Error
    for (const part of WANTED) if (stack.includes(part)) failedFor.add(part)
    throw error
  }
}

const node = await createNode({ dir: process.argv[2] as string, listen: ['/ip4/0.0.0.0/tcp/0'], mdns: true, engine: 'none', http: 'off' })
const eaten: number[] = []
const eat = (): void => {
  try {
    for (;;) eaten.push(openSync('/dev/null', 'r'))
  } catch {
    // None is left.
  }
}
const starved = setInterval(eat, 5)
eat()
while (WANTED.some(part => !failedFor.has(part)) && uncaught.length === 0) await new Promise(resolve => { setTimeout(resolve, 20) })
clearInterval(starved)
for (const fd of eaten) closeSync(fd)
const stack = await node.stacks.open('notes')
const { title } = await stack.add({ kind: 'note', title: 'after', body: '' })
console.log(`wrote ${title}, uncaught: ${uncaught.join()}`)
process.exit(0)
