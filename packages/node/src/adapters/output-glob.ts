/**
 * Globs of outputs: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `**`. Own code: they come from other devices and from foreign projects, the names
 * they are held against from a build, and a glob that becomes a regular expression can be made to backtrack for ever in the middle of
 * the node. Here the time is at most the product of both lengths. Pure.
 */
import { ElderError } from '@elder-node/protocol'

export interface OutputGlob {
  /** The path itself is meant, or it lies below what is meant. */
  matches: (path: string) => boolean
  /** Something below the folder may be meant. */
  enters: (dir: string) => boolean
}

type Part = { kind: 'star' | 'one' } | { kind: 'set', test: (char: string) => boolean } | { kind: 'char', char: string }
type Segment = '**' | Part[]

const ALTERNATIVES_MAX = 128
const WILD = /[*?[]/

/**
 * `dist/**` takes what is below dist, `dist` and `dist/` the same; dot files are taken where the glob names the place explicitly,
 * that is, everywhere but under a leading wildcard.
 *
 * @throws ElderError `OUTPUT_INVALID` for more than 128 alternatives in braces
 */
export function outputGlob (glob: string): OutputGlob {
  const all = alternatives(glob.replace(/^\.\//, '').replace(/\/+$/, '')).map(plain => one(plain))
  return { matches: path => all.some(({ matches }) => matches(path)), enters: dir => all.some(({ enters }) => enters(dir)) }
}

function one (plain: string): OutputGlob {
  const names = plain.split('/')
  const wildAt = names.findIndex(name => WILD.test(name))
  const fixed = wildAt < 0 ? names : names.slice(0, wildAt)
  const dots = fixed.length > 0 || names.some(name => name.startsWith('.'))
  const segments = names.map((name): Segment => name === '**' ? '**' : partsOf(name))
  return {
    matches: path => matchPath([...segments, '**'], path.split('/'), dots),
    enters: dir => dir.split('/').every((name, i) => i >= fixed.length || name === fixed[i]),
  }
}

/** Back only to the last `**`: what an earlier one could take more, the last one can take as well. */
function matchPath (segments: Segment[], names: string[], dots: boolean): boolean {
  let [s, n, starAt, tookTo] = [0, 0, -1, 0]
  while (n < names.length) {
    const segment = segments[s]
    if (segment === '**') { starAt = s++; tookTo = n; continue }
    if (segment !== undefined && matchName(segment, names[n] as string, dots)) { s++; n++; continue }
    if (starAt < 0 || (!dots && names[tookTo]?.startsWith('.') === true)) return false
    s = starAt + 1
    n = ++tookTo
  }
  return segments.slice(s).every(segment => segment === '**')
}

/** The same with `*` and characters. */
function matchName (parts: Part[], name: string, dots: boolean): boolean {
  if (!dots && name.startsWith('.')) return false
  const chars = [...name]
  let [p, c, starAt, tookTo] = [0, 0, -1, 0]
  while (c < chars.length) {
    const part = parts[p]
    if (part?.kind === 'star') { starAt = p++; tookTo = c; continue }
    if (part !== undefined && takes(part, chars[c] as string)) { p++; c++; continue }
    if (starAt < 0) return false
    p = starAt + 1
    c = ++tookTo
  }
  return parts.slice(p).every(({ kind }) => kind === 'star')
}

function takes (part: Part, char: string): boolean { return part.kind === 'one' || (part.kind === 'set' ? part.test(char) : part.kind === 'char' && part.char === char) }

function partsOf (name: string): Part[] {
  const parts: Part[] = []
  const chars = [...name]
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as string
    // A bracket that is never closed, and an empty pair, are what they look like.
    const end = char === '[' ? chars.indexOf(']', i + (/[!^]/.test(chars[i + 1] ?? '') ? 3 : 2)) : -1
    if (end > 0) {
      parts.push(setOf(chars.slice(i + 1, end)))
      i = end
    } else if (char !== '*' || parts.at(-1)?.kind !== 'star') parts.push(char === '*' ? { kind: 'star' } : char === '?' ? { kind: 'one' } : { kind: 'char', char })
  }
  return parts
}

function setOf (chars: string[]): Part {
  const not = /[!^]/.test(chars[0] ?? '')
  const ranges: Array<[from: string, to: string]> = []
  for (let i = not ? 1 : 0; i < chars.length; i++) {
    const from = chars[i] as string
    const isRange = chars[i + 1] === '-' && i + 2 < chars.length
    ranges.push([from, isRange ? chars[i + 2] as string : from])
    if (isRange) i += 2
  }
  return { kind: 'set', test: char => ranges.some(([from, to]) => from <= char && char <= to) !== not }
}

/** Each choice of `{a,b}` as a glob of its own; braces without a comma or without their other half stay. */
function alternatives (glob: string): string[] {
  const done: string[] = []
  const waiting = [glob]
  for (let text = waiting.pop(); text !== undefined; text = waiting.pop()) {
    const choice = firstChoice(text)
    if (choice === undefined) done.push(text)
    else waiting.push(...choice)
    if (done.length + waiting.length > ALTERNATIVES_MAX) throw new ElderError('OUTPUT_INVALID', `the glob ${JSON.stringify(glob.slice(0, 80))} has more than ${ALTERNATIVES_MAX} alternatives`, 'Name the folder above them.')
  }
  return done
}

/** The innermost braces that end first, so that nested ones come apart too. */
function firstChoice (text: string): string[] | undefined {
  for (let end = text.indexOf('}'); end >= 0; end = text.indexOf('}', end + 1)) {
    const start = text.lastIndexOf('{', end)
    const choices = text.slice(start + 1, end).split(',')
    if (start >= 0 && choices.length > 1) return choices.map(choice => text.slice(0, start) + choice + text.slice(end + 1))
  }
  return undefined
}
