import { array, assert, constantFrom, oneof, property, tuple, type Arbitrary } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS, outputGlobs } from '../../src/index.ts'

describe('globs of outputs', () => {
  test.each<[glob: string, meant: string[], not: string[]]>([
    ['*.js', ['a.js', 'a.js/below'], ['d/a.js', 'a.ts', '.a.js']],
    ['**/test-?.[jt]s', ['test-1.js', 'a/b/test-2.ts'], ['test-10.js', 'test-1.cs', 'a/.b/test-1.js']],
    ['a/**/z', ['a/z', 'a/b/c/z', 'a/.b/z/y'], ['a/zz', 'b/a/z']],
    ['a/**/b/**/c', ['a/b/c', 'a/x/b/y/b/z/c'], ['a/b', 'a/c/b']],
    ['dist/{a,b{1,2}}.js', ['dist/a.js', 'dist/b1.js', 'dist/b2.js'], ['dist/b.js', 'dist/{a,b{1,2}}.js']],
    ['[!a-c]*[[x]', ['dx', 'd-['], ['ax', 'd]']],
    ['a[b', ['a[b'], ['ab']], ['{a}', ['{a}'], ['a']], ['+(a|b)', ['+(a|b)'], ['a', 'ab']], ['a**b', ['axb', 'ab'], ['a/b']], ['a/*/*', ['a/b/c', 'a/b/c/d'], ['a/b', 'a']],
    ['{a}b,c}', ['c', 'a}b'], ['a', 'b']], ['{a,{b}}', ['{a,{b}}'], ['a', '{b}']], ['./x//', ['x', 'x/y'], ['y']], ['{a,b}/**/**/c/**', ['a/c', 'b/x/c/y'], ['a', 'a/x']],
  ])('%s', (glob, meant, not) => {
    const globs = outputGlobs([glob])
    expect([...meant, ...not].filter(path => globs.match(path))).toEqual(meant)
  })

  test('several globs say which of them mean a path, and whether something below a folder can be meant', () => {
    const globs = outputGlobs(['dist/**', '*.js', 'dist/a', '{x,y}/z'])
    const at = (path: string): Uint16Array => path.split('/').reduce((from, name) => globs.next(from, name), globs.start)
    expect(globs.hits(at('dist/a'))).toEqual([0, 2])
    expect(globs.hits(at('a.js/b'))).toEqual([1])
    expect([globs.hits(at('y')), at('y').length > 0, at('src').length > 0]).toEqual([[], true, false])
  })

  test('property: they mean what the same words of a regular expression mean', () => {
    assert(property(array(segment, { minLength: 1, maxLength: 4 }), array(name, { minLength: 1, maxLength: 5 }), (segments, names) => {
      const glob = segments.map(([text]) => text).join('/')
      const path = names.join('/')
      // As documented: hidden names only where the glob names a place first, or says a dot.
      const dots = !/^[^/]*[*?[]/.test(glob) || /(^|\/)\./.test(glob)
      const body = segments.map(([text, regex], i) => text === '**' ? '(?:[^/]+/)*' : `(?=[^/])${regex}${i === segments.length - 1 ? '(?:/|$)' : '/'}`).join('')
      const expected = new RegExp(`^${body}`).test(`${path}/`) && (dots || !names.some(part => part.startsWith('.')))
      expect(outputGlobs([glob]).match(path), `${glob} ${path}`).toBe(expected)
    }), { numRuns: 5000 })
  })

  test('a name costs at most its length times that of the globs, a path the sum of its names', () => {
    const a = (n: number): string => 'a'.repeat(n)
    const hostile = `**/${Array(7).fill(`*${a(126)}`).join('/')}/*${a(100)}${'{a,a}'.repeat(4)}b`
    for (const [globs, path] of [
      [[hostile], Array(15).fill(a(255)).join('/')], [[`${'**/'.repeat(300)}c`], `${'a/'.repeat(2000)}a`], [[`${'*a'.repeat(200)}c`], a(255)],
      [[`${'**/*a/'.repeat(600)}c`], `${'a/'.repeat(2000)}a`], [[`*[${'b'.repeat(200)}]*[${'c'.repeat(200)}]d`], a(255)],
      [['{a,b}'.repeat(6), `+(${'+('.repeat(100)}a${')'.repeat(101)}c`], a(4000)],
    ] as Array<[string[], string]>) {
      const held = outputGlobs(globs)
      expect(held.match(path)).toBe(false)
      expect(held.steps).toBeLessThan(path.length * LIMITS.globCharsMax)
    }
  })

  test('alternatives are counted over all globs together, before any is held against a name', () => {
    const refused = (globs: string[]): void => { expect(() => outputGlobs(globs)).toThrow(expect.objectContaining({ code: 'OUTPUT_INVALID', fix: 'Name the folders above them.' })) }
    refused(['{a,b}'.repeat(200)])
    refused([`{${','.repeat(4000)}}{${','.repeat(90)}}`])
    const one = `${'x'.repeat(59)}{a,b}{a,b}{a,b}{a,b}`
    expect(outputGlobs(Array(16).fill(one)).match(`${'x'.repeat(59)}abab`)).toBe(true)
    refused(Array(17).fill(one))
    refused(Array(64).fill('y'.repeat(256)))
  })
})

/** A segment with the regular expression that it stands for. */
const piece: Arbitrary<[text: string, regex: string]> = constantFrom(['a', 'a'], ['b', 'b'], ['.', '\\.'], ['*', '[^/]*'], ['?', '[^/]'], ['[ab]', '[ab]'], ['[!a]', '[^/a]'], ['[a-b]', '[a-b]'], ['{a,bb}', '(?:a|bb)'], ['{,b}', '(?:|b)'])
const segment = oneof(
  { weight: 1, arbitrary: constantFrom<[string, string]>(['**', '']) },
  { weight: 4, arbitrary: array(piece, { minLength: 1, maxLength: 4 }).map((pieces): [string, string] => [pieces.map(([text]) => text).join(''), pieces.map(([, regex]) => regex).join('')])
    // Apart from these, what stands beside a piece does not change what it means.
    .filter(([text]) => !/^\{,|\*(\{,b\})*\*/.test(text) && text !== '.') },
)
const name = tuple(constantFrom('', '.'), array(constantFrom('a', 'b', '.'), { minLength: 1, maxLength: 4 })).map(([dot, chars]) => dot + chars.join(''))
