/**
 * The smallest difference between two texts, bounded by counts and never by time, so every device computes the same one.
 *
 * Common prefix and suffix first, then Myers (An O(ND) Difference Algorithm, 1986) over lines, then over characters inside
 * small hunks. Beyond the bounds a hunk is replaced whole. Surrogate pairs are never split.
 */

/** Replace `remove` UTF-16 units at `at` of the old text by `insert`. Edits ascend and do not overlap. */
export interface TextEdit { at: number, remove: number, insert: string }

/** Edits looked for before a hunk is replaced whole: bounds time by D * (N + M) and memory by D^2. */
const DISTANCE_MAX = 256
/** UTF-16 units on both sides up to which a hunk is compared by characters. */
const FINE_MAX = 2048

export function difference (before: string, after: string): TextEdit[] {
  return trimmed(before, after, 0, (a, b, at) => hunks(lines(a), lines(b), at).flatMap(hunk => refined(a.slice(hunk.at - at, hunk.at - at + hunk.remove), hunk)))
}

/**
 * The edits `ours` of a base text, moved onto the text that `theirs` made of the same base: what they deleted stays deleted, what
 * either inserted stays; of two inserts at one place theirs comes first. Both lists ascend and do not overlap, and so does the result.
 */
export function rebase (ours: readonly TextEdit[], theirs: readonly TextEdit[]): TextEdit[] {
  return ours.flatMap(({ at, remove, insert }) => {
    const parts = surviving(at, at + remove, theirs)
    const [first, ...rest] = parts.length === 0 ? [{ from: at, to: at }] : parts
    const { from, to } = first as { from: number, to: number }
    const here = { at: moved(from, theirs), remove: to - from, insert }
    return [here, ...rest.map(part => ({ at: moved(part.from, theirs), remove: part.to - part.from, insert: '' }))]
  }).filter(({ remove, insert }) => remove > 0 || insert !== '')
}

/** The parts of `from` to `to` that `theirs` left, cut where they inserted. */
function surviving (from: number, to: number, theirs: readonly TextEdit[]): Array<{ from: number, to: number }> {
  const parts: Array<{ from: number, to: number }> = []
  let at = from
  for (const edit of theirs) {
    if (edit.at >= to || edit.at + edit.remove < at) continue
    if (edit.at > at) parts.push({ from: at, to: edit.at })
    at = Math.max(at, edit.at + edit.remove)
  }
  return at < to ? [...parts, { from: at, to }] : parts
}

/** Where a place of the base text lies now: behind what they inserted there. */
function moved (place: number, theirs: readonly TextEdit[]): number {
  let by = 0
  for (const { at, remove, insert } of theirs) {
    if (at > place) break
    by += insert.length - Math.min(remove, place - at)
  }
  return place + by
}

function refined (removed: string, hunk: TextEdit): TextEdit[] {
  return trimmed(removed, hunk.insert, hunk.at, (a, b, at) =>
    a.length + b.length <= FINE_MAX ? hunks([...a], [...b], at) : [{ at, remove: a.length, insert: b }])
}

/** Cuts the common prefix and suffix; asks `inner` only when both sides still hold something. */
function trimmed (a: string, b: string, at: number, inner: (a: string, b: string, at: number) => TextEdit[]): TextEdit[] {
  if (a === b) return []
  const max = Math.min(a.length, b.length)
  let head = 0
  while (head < max && a.charCodeAt(head) === b.charCodeAt(head)) head++
  if (splitsPair(a, head) || splitsPair(b, head)) head--
  let tail = 0
  while (tail < max - head && a.charCodeAt(a.length - 1 - tail) === b.charCodeAt(b.length - 1 - tail)) tail++
  if (splitsPair(a, a.length - tail) || splitsPair(b, b.length - tail)) tail--
  const x = a.slice(head, a.length - tail)
  const y = b.slice(head, b.length - tail)
  return x === '' || y === '' ? [{ at: at + head, remove: x.length, insert: y }] : inner(x, y, at + head)
}

function splitsPair (text: string, at: number): boolean {
  return at > 0 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800 && (text.charCodeAt(at) & 0xfc00) === 0xdc00
}

function lines (text: string): string[] { return text.match(/[^\n]*\n|[^\n]+$/g) ?? [] }

/** Edits that turn the joined tokens `a` into `b`; one whole replacement when they differ by more than DISTANCE_MAX. */
function hunks (a: string[], b: string[], at: number): TextEdit[] {
  const edits: TextEdit[] = []
  let [x, y, offset] = [0, 0, at]
  for (const [matchX, matchY] of [...common(a, b), [a.length, b.length] as const]) {
    const remove = a.slice(x, matchX).join('').length
    const insert = b.slice(y, matchY).join('')
    if (remove > 0 || insert !== '') edits.push({ at: offset, remove, insert })
    offset += remove + (a[matchX] ?? '').length
    ;[x, y] = [matchX + 1, matchY + 1]
  }
  return edits
}

/** Pairs of equal tokens on a shortest edit path, ascending; none when the path is longer than DISTANCE_MAX. */
function common (a: string[], b: string[]): Array<readonly [number, number]> {
  const trace: Int32Array[] = []
  const reach = new Int32Array(2 * DISTANCE_MAX + 3)
  const zero = DISTANCE_MAX + 1
  for (let d = 0; d <= DISTANCE_MAX; d++) {
    trace.push(reach.slice(zero - d - 1, zero + d + 2))
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach[zero + k - 1] as number) < (reach[zero + k + 1] as number))
      let x = down ? reach[zero + k + 1] as number : (reach[zero + k - 1] as number) + 1
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++
      reach[zero + k] = x
      if (x >= a.length && x - k >= b.length) return backtrack(a, b, trace)
    }
  }
  return []
}

function backtrack (a: string[], b: string[], trace: Int32Array[]): Array<readonly [number, number]> {
  const pairs: Array<readonly [number, number]> = []
  let [x, y] = [a.length, b.length]
  for (let d = trace.length - 1; d >= 0; d--) {
    const reach = (k: number): number => (trace[d] as Int32Array)[k + d + 1] as number
    const k = x - y
    const from = k === -d || (k !== d && reach(k - 1) < reach(k + 1)) ? k + 1 : k - 1
    const [fromX, fromY] = d === 0 ? [0, 0] : [reach(from), reach(from) - from]
    while (x > fromX && y > fromY) pairs.push([--x, --y])
    ;[x, y] = [fromX, fromY]
  }
  return pairs.reverse()
}
