import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exampleFiles, examplesIn } from './support/examples.ts'

const files = exampleFiles(join(import.meta.dirname, 'examples'))

describe('the examples of index.ts', () => {
  it('are the files here, all of them', () => {
    expect(examplesIn(join(import.meta.dirname, '../src/index.ts')).toSorted()).toEqual(files.map(({ code }) => code).toSorted())
  })

  it.each(files)('$name runs', async ({ path }) => { await import(path) })
})
