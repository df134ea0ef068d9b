/** What is read of a folder that somebody else may have made: regular files within their bound, and nothing that only looks like one. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { copyForeign, isBelow, readForeign, readForeignInside } from '../../src/adapters/foreign-files.ts'
import { needs } from '../support/when.ts'

const dir = mkdtempSync(join(tmpdir(), 'elder-foreign-'))
afterAll(() => { rmSync(dir, { recursive: true, force: true }) })
const at = (name: string): string => join(dir, name)
const BYTES = 100
writeFileSync(at('short'), 'x'.repeat(BYTES))
writeFileSync(at('long'), 'x'.repeat(BYTES + 1))
symlinkSync('short', at('link'))
symlinkSync('/dev/zero', at('endless'))
mkdirSync(at('folder'))
writeFileSync(at('folder/inside'), 'in')
symlinkSync('folder', at('way'))
const posix = needs(process.platform !== 'win32', 'pipes and devices of a POSIX system')
if (posix) execFileSync('mkfifo', [at('pipe')])

const ODD: Array<[string, RegExp]> = [
  ['long', /longer than 100 bytes/], ['link', /symlink/], ['folder', /no regular file|cannot be opened/],
  ...posix ? [['endless', /symlink/], ['pipe', /no regular file/], ['/dev/zero', /no regular file/]] satisfies Array<[string, RegExp]> : [],
  // It says that it has no bytes, and has more than the bound.
  ...existsSync('/proc/self/maps') ? [['/proc/self/maps', /longer than 100 bytes/]] satisfies Array<[string, RegExp]> : [],
]

describe('a foreign file', () => {
  test('is read whole up to its bound, with its owner; one that is not there is nothing', async () => {
    expect(await readForeign(at('short'), BYTES)).toMatchObject({ bytes: readFileSync(at('short')), uid: process.getuid?.() ?? 0 })
    expect(await readForeign(at('none'), BYTES)).toBeUndefined()
    expect(await readForeign(at('short/none'), BYTES)).toBeUndefined()
  })

  test.each(ODD)('%s is not read, and why', async (name, why) => {
    const found = await readForeign(name.startsWith('/') ? name : at(name), BYTES)
    expect(found).toEqual({ odd: expect.stringMatching(why) as string })
  })

  test.each(ODD.filter(([name]) => !name.startsWith('/proc')))('%s is not copied, and why', async (name, why) => {
    const to = at('copy')
    expect(await copyForeign(name.startsWith('/') ? name : at(name), to, BYTES)).toMatch(why)
    expect(existsSync(to)).toBe(false)
  })

  test('is copied to a new file only', async () => {
    expect(await copyForeign(at('short'), at('new'), BYTES)).toBeUndefined()
    expect(readFileSync(at('new'))).toEqual(readFileSync(at('short')))
    await expect(copyForeign(at('short'), at('new'), BYTES)).rejects.toMatchObject({ code: 'EEXIST' })
  })

  test('below a root is reached through no symlink', async () => {
    expect((await readForeignInside(dir, 'folder/inside', BYTES))?.bytes?.toString()).toBe('in')
    expect(await readForeignInside(dir, 'way/inside', BYTES)).toEqual({ odd: 'way is a symlink' })
    expect(await readForeignInside(dir, 'short/inside', BYTES)).toEqual({ odd: 'short is no folder' })
    expect(await readForeignInside(dir, 'none/inside', BYTES)).toBeUndefined()
  })
})

test.each([
  ['/a', '/a', true], ['/a', '/a/b', true], ['/a', '/a/..b', true], ['/', '/a', true], ['/a', '/', false], ['/a/b', '/a', false], ['/a', '/ab', false], ['/a', '/b/a', false],
])('below %s lies %s: %s', (root, path, expected) => { expect(isBelow(root, path)).toBe(expected) })
