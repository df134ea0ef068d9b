/** Starts the programs that a node starts while its process has no file descriptor left: each must say so, and nothing be left uncaught. */
import { closeSync, openSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { runGit } from '@elder-node/crdt-stack/git'
import { codeOf } from '@elder-node/protocol'
import { heldBytes } from '../src/adapters/disk-watch.ts'
import { tryBwrap } from '../src/adapters/engine-sandbox/probe.ts'
import { runTool } from '../src/adapters/run-tool.ts'

const uncaught: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, (error: Error) => { uncaught.push(error.message) })
const { signal } = new AbortController()
const eaten: number[] = []
try {
  for (;;) eaten.push(openSync('/dev/null', 'r'))
} catch {
  // None is left.
}
const outcomes = await Promise.allSettled([
  runTool('/bin/true', []), heldBytes(['/']), (async () => await runGit({ profile: 'own', args: ['--version'], signal }))(), tryBwrap('/bin/true', [], '/dev/null'),
])
await setImmediate()
for (const fd of eaten) closeSync(fd)
console.log(outcomes.map(outcome => outcome.status === 'fulfilled' ? String(outcome.value) : codeOf(outcome.reason)).join(), uncaught.join())
