/** What a row of the proof says, from its tests and what its rig measured. Pure. */
import type { Promised } from './promises.ts'
import type { Measured } from './rigs.ts'
import type { Case } from './tests.ts'

export interface Row { id: string, promise: string, state: 'ok' | 'short' | 'open', figure: string, command: string }

export function filesOf ({ tests, longTests = [] }: Promised, isLong: boolean): string[] { return isLong ? [...tests, ...longTests] : tests }

/** `all`: the cases of every row's files. */
export function rowOf (promised: Promised, all: readonly Case[], measured: Measured | undefined, isLong: boolean): Row {
  const { id, promise, open, match } = promised
  const files = filesOf(promised, isLong)
  const command = files.length === 0 ? 'npm run prove' : `npx vitest run ${files.join(' ')}`
  if (open !== undefined) return { id, promise, state: 'open', figure: open, command }
  const cases = all.filter(({ file, name }) => files.some(path => file.startsWith(path)) && (match?.test(name) ?? true))
  const failed = cases.filter(({ ok, skipped }) => !ok && !skipped)
  const held = cases.filter(({ ok }) => ok)
  // Every case was skipped: this machine cannot show it.
  if (held.length === 0 && failed.length === 0 && cases.length > 0) {
    return { id, promise, state: 'open', figure: 'this machine cannot run its tests; they say why', command }
  }
  // A file of which nothing ran may not exist any more: its row is short, and not silently smaller.
  const silent = files.filter(path => !cases.some(({ file }) => file.startsWith(path)))
  const slowestMs = Math.max(0, ...held.map(({ ms }) => ms))
  const counted = [`${held.length} cases, slowest ${Math.round(slowestMs)} ms`, ...(measured === undefined ? [] : [measured.figure])]
  const wrong = [...failed.map(({ name }) => `failed: ${name}`), ...silent.map(path => `nothing ran of ${path}`)]
  const isShort = wrong.length > 0 || held.length === 0 || measured?.ok === false
  return { id, promise, state: isShort ? 'short' : 'ok', figure: [...counted, ...wrong].join('; '), command }
}
