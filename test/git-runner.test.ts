/** git is started in one place, which knows what a repository may not make it do: see packages/crdt-stack/src/git/run.ts. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const RUNNER = 'packages/crdt-stack/src/git/run.ts'
const sources = ['protocol', 'crdt-stack', 'node'].flatMap(name => {
  const folder = join('packages', name, 'src')
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => join(folder, file))
})

/** True for a text that starts git: the name as a program, or as the first word of a command line. */
function startsGit (text: string): boolean {
  return text.includes('node:child_process') ? /['"`]git(?:\.exe)?(?:['"`]| )/.test(text) : /\b(?:runTool|findTool)\(\s*['"`]git\b/.test(text)
}

test('nothing but the runner starts git', () => {
  expect(startsGit(readFileSync(join(ROOT, RUNNER), 'utf8'))).toBe(true)
  expect(startsGit("import { spawn } from 'node:child_process'\nspawn('git', [])")).toBe(true)
  expect(startsGit("runTool('git', ['log'])")).toBe(true)
  expect(sources.filter(file => file !== RUNNER && startsGit(readFileSync(join(ROOT, file), 'utf8')))).toEqual([])
})

test('of the memory, nothing but the runner starts a program', () => {
  expect(sources.filter(file => !file.startsWith('packages/node/') && readFileSync(join(ROOT, file), 'utf8').includes('node:child_process'))).toEqual([RUNNER])
})
