/** The difference that people read: what `patch` makes of it is the new text. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { unified } from '../src/unified.ts'

test('equal texts have none', () => {
  for (const text of ['', 'one', 'one\ntwo\n']) expect(unified(text, text)).toBe('')
})

test('changes with their surroundings, as diff -u writes them', () => {
  const before = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n'
  expect(unified(before, before.replace('two', 'two, by mini').replace('ten\n', 'ten'))).toBe([
    '@@ -1,5 +1,5 @@', ' one', '-two', '+two, by mini', ' three', ' four', ' five',
    '@@ -7,4 +7,4 @@', ' seven', ' eight', ' nine', '-ten', '+ten', '\\ No newline at end of file',
  ].join('\n'))
  expect(unified('', 'new\n')).toBe('@@ -0,0 +1 @@\n+new')
  expect(unified('gone\n', '')).toBe('@@ -1 +0,0 @@\n-gone')
  expect(unified('a\nb\n', 'a\nnew\nb\n', { context: 0 })).toBe('@@ -1,0 +2 @@\n+new')
})

test('what is beyond the bound is counted', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join('')
  const shown = unified('', many, { linesMax: 10 }).split('\n')
  expect(shown).toHaveLength(11)
  expect(shown.at(-1)).toBe('… and 991 lines more')
})

describe('of 200 random pairs', () => {
  /** A small linear congruence: the same texts on every run. */
  function random (seed: number): (below: number) => number {
    let state = seed
    return below => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return (state >>> 8) % below }
  }

  function pair (seed: number): [string, string] {
    const next = random(seed)
    const line = (): string => `${'abc'.charAt(next(3)).repeat(1 + next(4))}${next(9) === 0 ? '' : '\n'}`
    const before = Array.from({ length: next(30) }, line)
    const after = [...before]
    for (let edits = next(6); edits > 0; edits--) {
      const at = next(after.length + 1)
      if (next(2) === 0) after.splice(at, next(4))
      else after.splice(at, 0, line(), line())
    }
    return [before.join(''), after.join('')]
  }

  test('patch turns the old text into the new one', context => {
    try { execFileSync('patch', ['--version'], { stdio: 'ignore' }) } catch { return context.skip('there is no patch on this machine') }
    const dir = mkdtempSync(join(tmpdir(), 'elder-unified-'))
    for (let seed = 1; seed <= 200; seed++) {
      const [before, after] = pair(seed)
      if (before === after) continue
      writeFileSync(join(dir, 'text'), before)
      writeFileSync(join(dir, 'change'), `--- text\n+++ text\n${unified(before, after)}\n`)
      execFileSync('patch', ['-s', '--posix', 'text', 'change'], { cwd: dir })
      let made = ''
      try { made = readFileSync(join(dir, 'text'), 'utf8') } catch { /* an empty text is no file for patch */ }
      expect(made, `seed ${seed}`).toBe(after)
    }
    rmSync(dir, { recursive: true })
  })
})
