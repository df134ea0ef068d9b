import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readIfThere } from '../../src/adapters/files.ts'
import { readSettingsFile } from '../../src/adapters/settings-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'elder-files-'))
afterAll(() => { rmSync(dir, { recursive: true }) })

test('a file is read, also behind a symlink; a missing one is none', () => {
  writeFileSync(join(dir, 'file'), 'here')
  symlinkSync('file', join(dir, 'link'))
  expect(['file', 'link', 'missing'].map(name => readIfThere(join(dir, name)))).toEqual([Buffer.from('here'), Buffer.from('here'), undefined].map(bytes => bytes && new Uint8Array(bytes)))
})

test('a device, a pipe and a folder are refused, and never read without end', () => {
  symlinkSync('/dev/zero', join(dir, 'device'))
  execFileSync('mkfifo', [join(dir, 'pipe')])
  for (const path of [join(dir, 'device'), join(dir, 'pipe'), dir]) {
    expect(() => readIfThere(path)).toThrow(expect.objectContaining({ code: 'STORAGE', message: expect.stringContaining('not a regular file') as string }) as Error)
  }
})

test('so they are in the place of the settings; a folder that is none holds no settings', () => {
  const refused = { code: 'STORAGE', message: expect.stringContaining('not a regular file') as string }
  for (const name of ['device', 'pipe']) {
    expect(() => readSettingsFile(join(dir, name))).toThrow(expect.objectContaining(refused) as Error)
  }
  expect(readSettingsFile(join(dir, 'file', 'settings.json'))).toEqual({})
})
