import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { beginLife, endLife, readConfig, writeConfig } from '../../src/adapters/node-config.ts'

function fresh (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-config-'))
  onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
  return join(dir, 'config.json')
}

test('a life that did not end cleanly is a crash of the next one; an orderly end is none', () => {
  const path = fresh()
  expect(beginLife(path, 1000)).toMatchObject({ lives: 1, crashes: 0, crashesMs: [] })
  endLife(path)
  expect(beginLife(path, 2000)).toMatchObject({ lives: 2, crashes: 0 })
  expect(beginLife(path, 3000)).toMatchObject({ lives: 3, crashes: 1, crashesMs: [3000] })
  writeConfig(path, { ...readConfig(path), ports: { x: 1 } })
  expect(beginLife(path, 4000)).toMatchObject({ lives: 4, crashes: 2, crashesMs: [3000, 4000], ports: { x: 1 } })
})

test('the times of crashes are kept up to a bound, and a file of an earlier version or a damaged one begins anew', () => {
  const path = fresh()
  for (let life = 0; life < 100; life++) beginLife(path, life)
  expect(readConfig(path)).toMatchObject({ lives: 100, crashes: 99 })
  expect(readConfig(path).crashesMs.length).toBeLessThanOrEqual(32)
  writeFileSync(path, JSON.stringify({ ports: {}, epoch: 7 }))
  expect(beginLife(path, 1)).toMatchObject({ epoch: 8, lives: 1, crashes: 0 })
  writeFileSync(path, JSON.stringify({ lives: -1, crashes: 'x', crashesMs: [null, 5, 'y'], clean: 3 }))
  expect(readConfig(path)).toEqual({ ports: {}, epoch: 0, lives: 0, crashes: 0, crashesMs: [5], clean: true })
})
