/** The word that was probably meant: the one with the fewest edits (Levenshtein 1965), when they are few. */
export function nearest (word: string, words: readonly string[]): string | undefined {
  const ranked = words.map(other => ({ other, edits: other.endsWith(`.${word}`) || other.startsWith(`${word}.`) ? 0 : edits(word, other) })).sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  return best !== undefined && best.edits <= Math.max(2, Math.floor(word.length / 3)) ? best.other : undefined
}

function edits (a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
