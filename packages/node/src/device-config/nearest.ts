/** The word that was probably meant: the one with the fewest edits, when they are few. */
export function nearest (word: string, words: readonly string[]): string | undefined {
  const ranked = words.map(other => ({ other, edits: other.endsWith(`.${word}`) || other.startsWith(`${word}.`) ? 0 : edits(word, other) })).sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  return best !== undefined && best.edits <= Math.max(2, Math.floor(word.length / 3)) ? best.other : undefined
}

/** Characters to insert, leave out, replace or swap with their neighbour (Damerau 1964; no part is edited twice). */
export function edits (a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] && i > 1 && j > 1 ? (before[j - 2] ?? 0) + 1 : Infinity
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
