/** The walks of docs/ARCHITECTURE.md can be walked: every file that they name is there. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const HOMES: Record<string, string> = { protocol: 'packages/protocol/src', 'crdt-stack': 'packages/crdt-stack/src', gateway: 'packages/node/src/gateway', services: 'packages/node/src/services', adapters: 'packages/node/src/adapters', ports: 'packages/node/src/ports' }

/** `a/{b,c}` is a/b and a/c. */
function expand (path: string): string[] {
  const [, before = path, list, after = ''] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(path) ?? []
  return list === undefined ? [path] : list.split(',').map(name => `${before}${name}${after}`)
}

function isThere (path: string): boolean {
  const [first = '', ...rest] = path.split('/')
  const file = join(ROOT, HOMES[first] ?? first, ...rest)
  return existsSync(`${file}.ts`) || existsSync(file)
}

const text = readFileSync(join(ROOT, 'docs/ARCHITECTURE.md'), 'utf8')
const walks = text.split('## The three walks')[1]?.split('\n## ')[0] ?? ''
const paths = [...walks.matchAll(/`([a-z-]+\/[^` ]+)`/g)].flatMap(([, path = '']) => expand(path))

test('every file of the walks is there', () => {
  expect(paths.length).toBeGreaterThan(30)
  expect(paths.filter(path => !isThere(path))).toEqual([])
})
