/**
 * docs/ARCHITECTURE.md can be walked: every file that it names is there, and every room has its line. Every attack in
 * docs/THREAT_MODEL.md names its test.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const NODE = 'packages/node/src'
const HOMES: Record<string, string> = {
  protocol: 'packages/protocol/src', 'crdt-stack': 'packages/crdt-stack/src',
  ...Object.fromEntries(['gateway', 'facade', 'services', 'adapters', 'ports', 'device-config', 'errors'].map(room => [room, `${NODE}/${room}`])),
}

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
const named = (part: string): string[] => [...part.matchAll(/`([a-z-]+\/[^` ]+)`/g)].flatMap(([, path = '']) => expand(path))
const section = (title: string): string => text.split(`## ${title}`)[1]?.split('\n## ')[0] ?? ''
const walks = named(section('The three walks'))
const isOurs = (path: string): boolean => path.split('/')[0] as string in HOMES

test('every file of the walks is there', () => {
  expect(walks.length).toBeGreaterThan(30)
  expect(walks.filter(path => !isThere(path))).toEqual([])
})

test('so is every other file that is named', () => {
  const paths = named(text).filter(isOurs)
  expect(paths.length).toBeGreaterThan(100)
  expect(paths.filter(path => !isThere(path))).toEqual([])
})

test('every room has its line in the table', () => {
  const rooms = Object.entries(HOMES).flatMap(([home, folder]) => {
    const inside = readdirSync(join(ROOT, folder), { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => `${home}/${name}`)
    return inside.length === 0 ? [home] : inside
  })
  const lines = new Set([...section('The rooms').matchAll(/`([a-z-]+(?:\/[^` ]+)?)`/g)].flatMap(([, path = '']) => expand(path)))
  expect(rooms.filter(room => !lines.has(room))).toEqual([])
})

test('every attack of the threat model names a test, and each of those is there', () => {
  const page = readFileSync(join(ROOT, 'docs/THREAT_MODEL.md'), 'utf8')
  const table = page.split('## Attacks and answers')[1]?.split('\n## ')[0] ?? ''
  const rows = table.split('\n').filter(line => line.startsWith('| ')).slice(1)
  const tests = (row: string): string[] =>
    [...row.matchAll(/[\w/-]*(?:\{[\w,-]+\})?\.test\b/g)].flatMap(([path]) => expand(path))
  const isTest = (path: string): boolean =>
    [path, `packages/${path}`].some(place => existsSync(join(ROOT, `${place}.ts`)))
  expect(rows.length).toBeGreaterThan(60)
  expect(rows.flatMap(tests).filter(path => !isTest(path))).toEqual([])
  // What Noise alone promises: no test changes a byte on its way through a relay.
  const untested = rows.filter(row => tests(row).length === 0).map(row => row.split(' | ')[0])
  expect(untested).toEqual(['| a relay reads, alters or makes up what it passes on'])
})
