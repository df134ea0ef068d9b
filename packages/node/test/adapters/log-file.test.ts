import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { LogFile } from '../../src/adapters/log-file.ts'
import { needs } from '../support/when.ts'

function folder (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-log-file-'))
  onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
  return dir
}

test('a log turns over while it is written, and a few old ones are kept', () => {
  const path = join(folder(), 'node.log')
  const log = new LogFile(path, { bytesMax: 100, kept: 2 })
  for (let i = 0; i < 60; i++) log.write(`${i} ${'x'.repeat(20)}\n`)
  log.close()
  expect(readdirSync(join(path, '..')).sort()).toEqual(['node.log', 'node.log.1', 'node.log.2'])
  const texts = [`${path}.2`, `${path}.1`, path].map(name => readFileSync(name, 'utf8'))
  for (const text of texts) expect(text.length).toBeLessThanOrEqual(100)
  const numbers = texts.join('').trim().split('\n').map(line => Number(line.split(' ')[0]))
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => 60 - numbers.length + i))
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('an earlier log is gone on with, and turned over when it is full', () => {
  const path = join(folder(), 'node.log')
  for (let life = 0; life < 3; life++) {
    const log = new LogFile(path, { bytesMax: 50 })
    log.write(`${'y'.repeat(30)}\n`)
    log.close()
  }
  expect(readdirSync(join(path, '..')).sort()).toEqual(['node.log', 'node.log.1', 'node.log.2'])
})

test('a log that cannot turn over goes on in the old file', () => {
  const path = join(folder(), 'node.log')
  mkdirSync(`${path}.1`)
  const log = new LogFile(path, { bytesMax: 50, kept: 1 })
  for (let i = 0; i < 4; i++) log.write(`${'z'.repeat(30)}\n`)
  log.close()
  expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(5)
})

test.runIf(needs(existsSync('/dev/full'), '/dev/full, a disk without space'))('a full disk costs lines and nothing else', () => {
  const path = join(folder(), 'node.log')
  symlinkSync('/dev/full', path)
  const log = new LogFile(path)
  expect(() => { log.write('a\n'); log.write('b\n') }).not.toThrow()
  log.close()
})
