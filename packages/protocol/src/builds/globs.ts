/**
 * Globs of outputs: `*`, `?`, `[a-z]`, `[!a-z]`, `{a,b}` and `**`. Own code: they come from other devices and from foreign
 * projects, the names they are held against from a build, and a glob that becomes a regular expression can be made to
 * backtrack for ever in the middle of the node. Here a name costs at most its length times that of all globs together, a
 * path the sum of its names, and the caller is told how much work was done.
 */
import { ElderError } from '../errors.ts'
import { LIMITS } from '../limits.ts'

const STAR: unique symbol = Symbol('*')
const ONE: unique symbol = Symbol('?')
interface CharSet { test: (char: string) => boolean, cost: number }
/** A character as it is, or what stands for several. */
type Part = string | typeof STAR | typeof ONE | CharSet
interface Segment { parts: Part[], charsMin: number }
/** One place in an alternative. `segment` undefined: `**`; `end`: everything before it is matched. */
interface Cell { segment: Segment | undefined, end: boolean, dots: boolean, glob: number }

/** To look at a place costs as much as so many characters. */
const PLACE_STEPS = 8
const WILD = /[*?[]/

/**
 * How far a path has come in the globs. Empty: neither the path nor anything below it is meant.
 * The numbers are places in {@link OutputGlobs}.
 */
export type GlobsAt = Uint16Array

/**
 * `dist/**` takes what is below dist, `dist` and `dist/` the same; dot files are taken where the glob names the place
 * explicitly, that is, everywhere but under a leading wildcard.
 *
 * @throws ElderError `OUTPUT_INVALID` for more than `LIMITS.globCharsMax` characters, every alternative written out
 */
export function outputGlobs (globs: readonly string[]): OutputGlobs { return new OutputGlobs(cellsOf(globs)) }

class OutputGlobs {
  readonly #cells: readonly Cell[]
  /** Comparisons of characters so far, and what costs as much. */
  steps = 0
  /** Above every path: where the first name begins. */
  readonly start: GlobsAt

  constructor (cells: readonly Cell[]) {
    this.#cells = cells
    const first = new Set<number>()
    for (const i of cells.keys()) if (i === 0 || cells[i - 1]?.end === true) this.#reach(first, i)
    this.start = Uint16Array.from(first)
  }

  /** One name further. */
  next (at: GlobsAt, name: string): GlobsAt {
    const chars = [...name]
    const isHidden = name.startsWith('.')
    const known = new Map<Segment, boolean>()
    const reached = new Set<number>()
    this.steps += chars.length + at.length * PLACE_STEPS
    for (const i of at) {
      const { segment, end, dots } = this.#cells[i] as Cell
      if (end || (isHidden && !dots)) continue
      if (segment === undefined) this.#reach(reached, i)
      else {
        const fits = known.get(segment) ?? this.#fits(segment, chars)
        known.set(segment, fits)
        if (fits) this.#reach(reached, i + 1)
      }
    }
    return Uint16Array.from(reached)
  }

  /** Numbers of the globs that mean the path, or a folder above it. */
  hits (at: GlobsAt): number[] {
    this.steps += at.length * PLACE_STEPS
    return [...new Set([...at].map(i => this.#cells[i] as Cell).filter(({ end }) => end).map(({ glob }) => glob))]
  }

  /** In one go: for a path whose length is known to be small. */
  match (path: string): boolean { return this.hits(path.split('/').reduce((at, name) => this.next(at, name), this.start)).length > 0 }

  /** A `**` may take no name at all. Two never follow each other. */
  #reach (reached: Set<number>, i: number): void {
    reached.add(i)
    const { segment, end } = this.#cells[i] as Cell
    if (segment === undefined && !end) reached.add(i + 1)
  }

  #fits (segment: Segment, chars: string[]): boolean {
    if (chars.length < segment.charsMin) return false
    const { fits, steps } = compared(segment.parts, chars)
    this.steps += steps
    return fits
  }
}

export type { OutputGlobs }

function cellsOf (globs: readonly string[]): Cell[] {
  const segments = new Map<string, Segment>()
  const segmentOf = (name: string): Segment => {
    const segment = segments.get(name) ?? parsed(name)
    segments.set(name, segment)
    return segment
  }
  return alternatives(globs).flatMap(({ text, glob }) => {
    const names = text.split('/')
    const dots = !WILD.test(names[0] ?? '') || names.some(name => name.startsWith('.'))
    // What lies below what is meant is meant.
    const runs = [...names, '**'].filter((name, i, all) => name !== '**' || all[i + 1] !== '**')
    return [
      ...runs.map((name): Cell => ({ segment: name === '**' ? undefined : segmentOf(name), end: false, dots, glob })),
      { segment: undefined, end: true, dots, glob },
    ]
  })
}

/** Back only to the last `*`: what an earlier one could take more, the last one can take as well. */
function compared (parts: readonly Part[], chars: readonly string[]): { fits: boolean, steps: number } {
  let [p, c, starAt, tookTo, steps] = [0, 0, -1, 0, 0]
  while (c < chars.length) {
    const [part, char] = [parts[p], chars[c] as string]
    steps++
    if (part === char || part === ONE) { p++; c++; continue }
    if (part === STAR) { starAt = p++; tookTo = c; continue }
    if (typeof part === 'object') {
      steps += part.cost
      if (part.test(char)) { p++; c++; continue }
    }
    if (starAt < 0) return { fits: false, steps }
    p = starAt + 1
    c = ++tookTo
  }
  return { fits: parts.slice(p).every(part => part === STAR), steps }
}

function parsed (name: string): Segment {
  const parts = partsOf(name)
  return { parts, charsMin: parts.filter(part => part !== STAR).length }
}

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
    } else if (char !== '*' || parts.at(-1) !== STAR) parts.push(partOf(char))
  }
  return parts
}

function partOf (char: string): Part {
  if (char === '*') return STAR
  return char === '?' ? ONE : char
}

function setOf (chars: string[]): CharSet {
  const not = /[!^]/.test(chars[0] ?? '')
  const ranges: Array<[from: string, to: string]> = []
  for (let i = not ? 1 : 0; i < chars.length; i++) {
    const from = chars[i] as string
    const isRange = chars[i + 1] === '-' && i + 2 < chars.length
    ranges.push([from, isRange ? chars[i + 2] as string : from])
    if (isRange) i += 2
  }
  return { cost: ranges.length, test: char => ranges.some(([from, to]) => from <= char && char <= to) !== not }
}

/**
 * Each choice of `{a,b}` as a glob of its own; braces without a comma or without their other half stay. The bound holds
 * for all globs together: it is what one name of a build can cost.
 */
function alternatives (globs: readonly string[]): Array<{ text: string, glob: number }> {
  const done: Array<{ text: string, glob: number }> = []
  let chars = 0
  const count = (text: string, sign: 1 | -1): void => {
    chars += sign * (text.length + 1)
    if (chars > LIMITS.globCharsMax) throw new ElderError('OUTPUT_INVALID', `the outputs have more than ${LIMITS.globCharsMax} characters when all alternatives in braces are written out`, 'Name the folders above them.')
  }
  for (const [glob, written] of globs.entries()) {
    const waiting = [trimmed(written)]
    waiting.forEach(text => { count(text, 1) })
    for (let text = waiting.pop(); text !== undefined; text = waiting.pop()) {
      const choices = firstChoice(text)
      if (choices === undefined) done.push({ text, glob })
      else {
        count(text, -1)
        for (const choice of choices) count(choice, 1)
        waiting.push(...choices)
      }
    }
  }
  return done
}

function trimmed (glob: string): string {
  let end = glob.length
  while (glob[end - 1] === '/') end--
  return glob.slice(glob.startsWith('./') ? 2 : 0, end)
}

/** The innermost braces that end first, so that nested ones come apart too. */
function firstChoice (text: string): string[] | undefined {
  let [start, comma] = [-1, false]
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '{') [start, comma] = [i, false]
    else if (text[i] === ',') comma = true
    else if (text[i] === '}' && start >= 0 && comma) {
      const [before, after] = [text.slice(0, start), text.slice(i + 1)]
      return text.slice(start + 1, i).split(',').map(choice => before + choice + after)
    }
  }
  return undefined
}
