/** Every command of the documentation, typed as it stands there: each page on devices of its own, which are real nodes on this machine. */
import { globSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ROOT, runPage } from './support/run-page.ts'

// README.md is run by test/readme.test.ts, docs/reference is made of the code and compared with it.
const PAGES = globSync(['docs/*.md', 'docs/{tutorial,how-to,explanation}/*.md', 'examples/*/README.md'], { cwd: ROOT }).toSorted()

test('there are pages', () => { expect(PAGES.length).toBeGreaterThan(10) })

test.concurrent.for(PAGES)('%s', { timeout: 180_000 }, async (page) => { await runPage(page) })
