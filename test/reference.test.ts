/** docs/reference is what the code says now. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { referencePages } from '../tools/reference/pages.ts'

const ROOT = join(import.meta.dirname, '..')
const FOLDER = join(ROOT, 'docs/reference')

test('the pages of docs/reference are fresh: npm run reference', async () => {
  const pages = await referencePages(ROOT)
  expect(readdirSync(FOLDER).sort()).toEqual([...pages.keys()].sort())
  const stale = [...pages].filter(([name, text]) => readFileSync(join(FOLDER, name), 'utf8') !== text).map(([name]) => name)
  expect(stale, 'run: npm run reference').toEqual([])
})

test('every link between the pages leads somewhere', async () => {
  const pages = await referencePages(ROOT)
  for (const [name, text] of pages) {
    for (const [, to = ''] of text.matchAll(/\]\(([^)#]+)/g)) expect(pages.has(to) || to === '../PROTOCOL.md', `${name} links to ${to}`).toBe(true)
  }
})
