/** The lock of tools/bootstrap.mjs: two `npm test` of one clone do not install or build at the same time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const ALONE = join(import.meta.dirname, '../tools/alone.mjs')
/** Says when it begins and ends, and lets others run in between. */
const CHILD = `
  import { appendFileSync } from 'node:fs'
  import { alone } from ${JSON.stringify(ALONE)}
  const [lock, log] = process.argv.slice(1)
  const release = alone(lock)
  appendFileSync(log, 'begin ')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
  appendFileSync(log, 'end ')
  release()`

test('processes take turns, also where a dead one left its lock', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'elder-alone-'))
  onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
  const dead = spawn(process.execPath, ['-e', ''])
  await once(dead, 'exit')
  writeFileSync(join(dir, 'lock'), String(dead.pid))
  const children = Array.from({ length: 5 }, () => spawn(process.execPath, ['--input-type=module', '-e', CHILD, join(dir, 'lock'), join(dir, 'log')], { stdio: ['ignore', 'inherit', 'ignore'] }))
  const codes = await Promise.all(children.map(async child => (await once(child, 'exit'))[0] as number))
  expect(codes).toEqual([0, 0, 0, 0, 0])
  expect(readFileSync(join(dir, 'log'), 'utf8')).toBe('begin end '.repeat(5))
  expect(readdirSync(dir)).toEqual(['log'])
})
