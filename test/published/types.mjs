/** The types as a TypeScript user meets them, under both ways of resolving, with the libraries' own declarations checked too. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run, say } from './support.mjs'

const USE = `
import { createNode, type ElderNode, type BuildEvent } from 'elder-node'
import { Stack, type Entry } from '@elder-node/crdt-stack'
import { FsFeedStore } from '@elder-node/crdt-stack/fs'
import { decodeRecord, ElderError } from '@elder-node/protocol'
export async function use (): Promise<number> {
  const node: ElderNode = await createNode({ dir: './data' })
  const build = await node.build({ source: '.', command: ['npm', 'test'], outputs: ['dist/**'] })
  for await (const event of build.events) { const e: BuildEvent = event; if (e.event === 'log') console.log(e.data) }
  const { exitCode } = await build.result
  const entries: Entry[] = await (await node.stacks.open('my-repo')).list()
  return exitCode + entries.length
}
export const parts = [Stack, FsFeedStore, decodeRecord, ElderError]
// @ts-expect-error a command is a list of words: were the types lost, this would pass
void createNode({ dir: './data' }).then(node => node.build({ source: '.', command: 'npm test' }))
`

export function checkTypes (folder) {
  writeFileSync(join(folder, 'use.ts'), USE)
  const base = { strict: true, noEmit: true, target: 'es2024', skipLibCheck: false, types: ['node'], typeRoots: [join(root, 'node_modules/@types')], lib: ['es2024', 'dom', 'esnext.disposable'] }
  for (const [name, module] of [['nodenext', { module: 'nodenext' }], ['bundler', { module: 'esnext', moduleResolution: 'bundler' }]]) {
    writeFileSync(join(folder, `tsconfig.${name}.json`), JSON.stringify({ compilerOptions: { ...base, ...module }, files: ['use.ts'] }))
    run(join(root, 'node_modules/.bin/tsc'), ['-p', `tsconfig.${name}.json`], { cwd: folder, stdio: 'inherit' })
  }
  say('types resolve under nodenext and bundler')
}
