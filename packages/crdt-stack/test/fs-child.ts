/** Appends to a real stack on disk and prints what was acknowledged, until it is killed. */
import { flushCompileCache } from 'node:module'
import { FsFeedStore } from '../src/fs/index.ts'
import { Stack } from '../src/index.ts'
import { createSigner, crypto, NAME, random, STACK } from './support.ts'

// Node writes its compile cache at an exit, and this process has none.
flushCompileCache()
const dir = process.argv[2] as string
const store = await FsFeedStore.open(dir)
const stack = await Stack.open({ store, crypto, signer: createSigner(new Uint8Array(32).fill(9)), wallMs: () => Date.now(), random }, { id: STACK, name: NAME })
process.stdout.write(`ready ${stack.entries().length}\n`)
const say = (title: string) => stack.add({ kind: 'note', title, body: 'x'.repeat(300) }).then(entry => process.stdout.write(`ack ${entry.id}\n`))
for (let i = 0; ; i++) await Promise.all([say(`a${i}`), say(`b${i}`), say(`c${i}`)])
