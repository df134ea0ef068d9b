/**
 * Starts the programs that a node starts while its process has no file descriptor left: each must say so, nothing be left uncaught, and
 * no program be taken for one that is not there.
 */
import { closeSync, openSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { join } from 'node:path'
import { codeOf } from '@elder-node/protocol'
import { nativeGitWorks, runGit } from '@elder-node/crdt-stack/git'
import { heldBytes } from '../src/adapters/disk-watch.ts'
import { tryBwrap } from '../src/adapters/engine-sandbox/probe.ts'
import { createGitCaches } from '../src/adapters/git-caches.ts'
import { runTool } from '../src/adapters/run-tool.ts'

const uncaught: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, (error: Error) => { uncaught.push(error.message) })
const { signal } = new AbortController()
const caches = createGitCaches(join(process.argv[2] as string, 'mirrors'))
const url = `file://${process.argv[2]}/remote.git`
const eaten: number[] = []
try {
  for (;;) eaten.push(openSync('/dev/null', 'r'))
} catch {
  // None is left.
}
const outcomes = await Promise.allSettled([
  runTool('/bin/true', []), heldBytes(['/']), (async () => await runGit({ profile: 'own', args: ['--version'], signal }))(), tryBwrap('/bin/true', [], '/dev/null'),
  nativeGitWorks(), caches(url, { signal }),
])
await setImmediate()
for (const fd of eaten) closeSync(fd)
// The git of this device after all, which alone can open a folder.
await (await caches(url, { signal })).close()
const said = outcomes.map(outcome => outcome.status === 'fulfilled' ? String(outcome.value) : codeOf(outcome.reason))
console.log(said.join(), await nativeGitWorks(), uncaught.join())
