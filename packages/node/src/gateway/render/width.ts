/**
 * How many columns of a terminal a text takes. Wide are the East Asian Wide and Fullwidth characters and emoji of Unicode 16
 * (EastAsianWidth.txt, UAX #11, as ranges), combining marks take none; text is only ever cut between grapheme clusters.
 */
import { stripVTControlCharacters } from 'node:util'

const WIDE: ReadonlyArray<readonly [from: number, to: number]> = [
  [0x1100, 0x115f], [0x231a, 0x231b], [0x2329, 0x232a], [0x23e9, 0x23ec], [0x23f0, 0x23f0], [0x23f3, 0x23f3], [0x25fd, 0x25fe], [0x2614, 0x2615], [0x2630, 0x2637],
  [0x2648, 0x2653], [0x267f, 0x267f], [0x268a, 0x268f], [0x2693, 0x2693], [0x26a1, 0x26a1], [0x26aa, 0x26ab], [0x26bd, 0x26be], [0x26c4, 0x26c5], [0x26ce, 0x26ce],
  [0x26d4, 0x26d4], [0x26ea, 0x26ea], [0x26f2, 0x26f3], [0x26f5, 0x26f5], [0x26fa, 0x26fa], [0x26fd, 0x26fd], [0x2705, 0x2705], [0x270a, 0x270b], [0x2728, 0x2728],
  [0x274c, 0x274c], [0x274e, 0x274e], [0x2753, 0x2755], [0x2757, 0x2757], [0x2795, 0x2797], [0x27b0, 0x27b0], [0x27bf, 0x27bf], [0x2b1b, 0x2b1c], [0x2b50, 0x2b50],
  [0x2b55, 0x2b55], [0x2e80, 0x303e], [0x3041, 0x3247], [0x3250, 0xa4c6], [0xa960, 0xa97c], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0xfe10, 0xfe19], [0xfe30, 0xfe6b],
  [0xff01, 0xff60], [0xffe0, 0xffe6], [0x16fe0, 0x18d08], [0x1aff0, 0x1b2fb], [0x1d300, 0x1d376], [0x1f004, 0x1f004], [0x1f0cf, 0x1f0cf], [0x1f18e, 0x1f18e],
  [0x1f191, 0x1f19a], [0x1f1e6, 0x1f265], [0x1f300, 0x1f320], [0x1f32d, 0x1f335], [0x1f337, 0x1f37c], [0x1f37e, 0x1f393], [0x1f3a0, 0x1f3ca], [0x1f3cf, 0x1f3d3],
  [0x1f3e0, 0x1f3f0], [0x1f3f4, 0x1f3f4], [0x1f3f8, 0x1f43e], [0x1f440, 0x1f440], [0x1f442, 0x1f4fc], [0x1f4ff, 0x1f53d], [0x1f54b, 0x1f54e], [0x1f550, 0x1f567],
  [0x1f57a, 0x1f57a], [0x1f595, 0x1f596], [0x1f5a4, 0x1f5a4], [0x1f5fb, 0x1f64f], [0x1f680, 0x1f6c5], [0x1f6cc, 0x1f6cc], [0x1f6d0, 0x1f6d2], [0x1f6d5, 0x1f6d7],
  [0x1f6dc, 0x1f6df], [0x1f6eb, 0x1f6ec], [0x1f6f4, 0x1f6fc], [0x1f7e0, 0x1f7eb], [0x1f7f0, 0x1f7f0], [0x1f90c, 0x1f93a], [0x1f93c, 0x1f945], [0x1f947, 0x1f9ff],
  [0x1fa70, 0x1faf8], [0x20000, 0x3fffd],
]
/** Asks for the emoji form of the character before it. */
const EMOJI = '\uFE0F'
const ASCII = /^[\x20-\x7e]*$/
const clusters = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** Columns of one line; colours take none. */
export function widthOf (text: string): number {
  const bare = stripVTControlCharacters(text)
  if (ASCII.test(bare)) return bare.length
  return [...clusters.segment(bare)].reduce((sum, { segment }) => sum + clusterWidth(segment), 0)
}

/** At most `width` columns, the last of them `…` when something is cut. For text without colours. */
export function fitTo (text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let [kept, columns] = ['', 0]
  for (const { segment } of clusters.segment(text)) {
    columns += clusterWidth(segment)
    if (columns > width - 1) break
    kept += segment
  }
  return width < 1 ? '' : `${kept}…`
}

/** Lines of at most `width` columns, broken at spaces; those after the first begin with `indent`. A longer word has a line of its own. */
export function wrap (text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/ +/)) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line === '' || widthOf(longer) <= width) { line = longer; continue }
    lines.push(line)
    line = indent + word
  }
  return [...lines, line]
}

function clusterWidth (cluster: string): number {
  const code = cluster.codePointAt(0) ?? 0
  if (cluster.includes(EMOJI)) return 2
  // A lone surrogate is drawn as a replacement.
  if (/^[\p{M}\p{Cf}\p{Zl}\p{Zp}]/u.test(cluster)) return 0
  return isWide(code) ? 2 : 1
}

function isWide (code: number): boolean {
  let [low, high] = [0, WIDE.length]
  while (low < high) {
    const mid = (low + high) >> 1
    if ((WIDE[mid]?.[1] ?? 0) < code) low = mid + 1
    else high = mid
  }
  return (WIDE[low]?.[0] ?? Infinity) <= code
}
