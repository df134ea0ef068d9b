import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { removeFolder } from '../../src/adapters/files.ts'

test('a folder goes with all that it holds; one that is not there is gone already', async () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'elder-remove-')), 'stack')
  mkdirSync(join(folder, 'deep'), { recursive: true })
  for (const name of ['a.log', 'stack.cbor', 'deep/b.log']) writeFileSync(join(folder, name), 'x')
  await removeFolder(folder, 'stack.cbor')
  expect(existsSync(folder)).toBe(false)
  await removeFolder(folder, 'stack.cbor')
})
