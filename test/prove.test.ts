/** What `npm run prove` makes of tests and measurements: a row is never better than the worst of them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PROMISES } from './prove/promises.ts'
import type { Case } from './prove/tests.ts'
import { rowOf } from './prove/verdict.ts'

const promised = { id: 'P0', promise: 'It holds.', tests: ['a.test.ts'] }
const held: Case = { file: 'a.test.ts', name: 'holds', ok: true, skipped: false, ms: 12.4 }
const failed: Case = { ...held, name: 'breaks', ok: false }
const skipped: Case = { ...held, name: 'needs root', ok: false, skipped: true }
const stateOf = (cases: Case[], measured?: { ok: boolean, figure: string }, more: object = {}): string => rowOf({ ...promised, ...more }, cases, measured, false).state

test('ok needs a test that ran, none that failed, and a rig that found nothing', () => {
  expect(stateOf([held, skipped], { ok: true, figure: '9 kills' })).toBe('ok')
  expect(rowOf(promised, [held], { ok: true, figure: '9 kills' }, false).figure).toBe('1 cases, slowest 12 ms; 9 kills')
  expect(stateOf([held, failed])).toBe('short')
  expect(stateOf([held], { ok: false, figure: 'seed 3' })).toBe('short')
})

test('a file of which nothing ran is short; one of which all was skipped is open', () => {
  expect(stateOf([])).toBe('short')
  expect(stateOf([held], undefined, { tests: ['a.test.ts', 'gone.test.ts'] })).toBe('short')
  expect(stateOf([held], undefined, { match: /another/ })).toBe('short')
  expect(stateOf([skipped])).toBe('open')
  expect(stateOf([failed], undefined, { open: 'not yet' })).toBe('open')
})

test('every promise names tests that exist, or says why it is open', () => {
  expect(PROMISES.map(({ id }) => id)).toEqual(Array.from({ length: 11 }, (_, i) => `P${i + 1}`))
  for (const { tests, longTests = [], open } of PROMISES) {
    expect(tests.length > 0 || open !== undefined).toBe(true)
    for (const path of [...tests, ...longTests]) expect(existsSync(join(import.meta.dirname, '..', path))).toBe(true)
  }
})
