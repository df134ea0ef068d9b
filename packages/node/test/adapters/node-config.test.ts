import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

test('the times of crashes are kept up to a bound', () => {
  const path = fresh()
  for (let life = 0; life < 100; life++) beginLife(path, life)
  expect(readConfig(path)).toMatchObject({ lives: 100, crashes: 99 })
  expect(readConfig(path).crashesMs.length).toBeLessThanOrEqual(32)
})

test('a file that is not what was written begins anew, and says why', () => {
  const path = fresh()
  const nothing = readConfig(path)
  for (const text of ['', '{', 'null', '[]', '{"lives":-1}', JSON.stringify({ ports: {}, epoch: 7 })]) {
    writeFileSync(path, text)
    const why: string[] = []
    expect(readConfig(path, error => { why.push(error) })).toEqual(nothing)
    expect(why).toHaveLength(1)
  }
  writeConfig(path, { ...nothing, epoch: 7, ports: { x: 4707 } })
  const written = readFileSync(path, 'utf8')
  writeFileSync(path, written.replace('4707', '4717'))
  expect(readConfig(path)).toEqual(nothing)
  writeFileSync(path, written)
  expect(readConfig(path)).toMatchObject({ epoch: 7, ports: { x: 4707 } })
})
