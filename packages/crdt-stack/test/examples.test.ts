import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exampleFiles, examplesIn } from '../../protocol/test/support/examples.ts'

// crypto.ts is the example of the package below.
const files = exampleFiles(join(import.meta.dirname, 'examples')).filter(({ name }) => name !== 'crypto.ts')
const shown = (...path: string[]): string[] => examplesIn(join(import.meta.dirname, '../src', ...path))

describe('the examples of index.ts and mirror/index.ts', () => {
  it('are the files here, all of them', () => {
    expect([...shown('index.ts'), ...shown('mirror', 'index.ts')].toSorted()).toEqual(files.map(({ code }) => code).toSorted())
  })

  it.each(files)('$name runs', async ({ path }) => { await import(path) }, 60_000)
})
