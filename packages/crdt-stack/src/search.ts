/**
 * Keyword search over titles, tags and bodies: BM25 (Robertson, Zaragoza, "The probabilistic relevance framework", 2009), computed
 * in one pass without an index. A word also finds longer words that begin with it, which counts half; scripts written without spaces
 * are found anywhere. Documents that hold more of the words come first.
 */
export interface SearchDocument {
  title: string
  tags: string[]
  /** Asked for once in the pass, and once more for a document that is shown. */
  body: () => string
}

/** `snippet`: one line around the first word found in the body, at most about 160 characters, cut with `…`. */
export interface SearchHit<D> { document: D, score: number, snippet: string }

/** @default 20 hits, at most 200 */
export interface SearchOptions { limit?: number }

interface Term { finds: RegExp, known: number }
interface Counted<D> { document: D, counts: number[], length: number }

export const SEARCH_HITS_MAX = 200
const HITS = 20
const QUERY_CHARS_MAX = 512
const TERMS_MAX = 16
/** Of a body. What lies beyond is not searched. */
const BODY_CHARS_MAX = 262_144
const TITLE_WEIGHT = 4
const TAG_WEIGHT = 3
const K1 = 1.2
const B = 0.75
const BEFORE_CHARS = 40
const AFTER_CHARS = 110

/** Best first; equals in the order they came. No hits for a query without a letter or a digit. */
export function search<D extends SearchDocument> (documents: Iterable<D>, query: string, { limit = HITS }: SearchOptions = {}): Array<SearchHit<D>> {
  const terms = termsOf(query)
  const found: Array<Counted<D>> = []
  let [total, lengths] = [0, 0]
  for (const document of terms.length === 0 ? [] : documents) {
    const counted = count(document, terms)
    total++
    lengths += counted.length
    if (counted.counts.some(many => many > 0)) found.push(counted)
  }
  for (const [i, term] of terms.entries()) term.known = found.filter(({ counts }) => (counts[i] ?? 0) > 0).length
  const held = ({ counts }: Counted<D>): number => counts.filter(many => many > 0).length
  const scored = found.map(counted => ({ counted, score: bm25(counted, terms, total, lengths / total) }))
    .sort((a, b) => held(b.counted) - held(a.counted) || b.score - a.score)
  return scored.slice(0, Math.min(limit, SEARCH_HITS_MAX))
    .map(({ counted: { document }, score }) => ({ document, score: Math.round(score * 1000) / 1000, snippet: snippet(textOf(document), terms) }))
}

/** Each word once. */
function termsOf (query: string): Term[] {
  const words = query.slice(0, QUERY_CHARS_MAX).normalize('NFKC').toLowerCase().match(/[\p{L}\p{N}\p{M}_]+/gu) ?? []
  return [...new Set(words)].slice(0, TERMS_MAX).map(word => ({ finds: new RegExp(`${isSpaced(word) ? '(?<![\\p{L}\\p{N}_])' : ''}${word}`, 'giu'), known: 0 }))
}

function isSpaced (word: string): boolean { return !/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(word) }

function count<D extends SearchDocument> (document: D, terms: Term[]): Counted<D> {
  const [title, tags, body] = [document.title.normalize('NFKC'), document.tags.join(' ').normalize('NFKC'), textOf(document)]
  const counts = terms.map(({ finds }) => TITLE_WEIGHT * occurrences(title, finds) + TAG_WEIGHT * occurrences(tags, finds) + occurrences(body, finds))
  // A word of six characters and a space.
  return { document, counts, length: 1 + (title.length + tags.length + body.length) / 7 }
}

/** A whole word is 1, the beginning of a longer one a half. */
function occurrences (text: string, finds: RegExp): number {
  let sum = 0
  for (const match of text.matchAll(finds)) sum += /[\p{L}\p{N}_]/u.test(text.charAt(match.index + match[0].length)) ? 0.5 : 1
  return sum
}

function bm25<D> ({ counts, length }: Counted<D>, terms: Term[], total: number, average: number): number {
  return terms.reduce((sum, { known }, i) => {
    const rarity = Math.log(1 + (total - known + 0.5) / (known + 0.5))
    const many = counts[i] ?? 0
    return sum + rarity * many * (K1 + 1) / (many + K1 * (1 - B + B * length / average))
  }, 0)
}

function textOf (document: SearchDocument): string { return document.body().slice(0, BODY_CHARS_MAX).normalize('NFKC') }

function snippet (body: string, terms: Term[]): string {
  const first = Math.min(...terms.map(({ finds }) => body.search(new RegExp(finds.source, 'iu'))).filter(at => at >= 0))
  const at = Number.isFinite(first) ? first : 0
  const [from, to] = [Math.max(0, at - BEFORE_CHARS), at + AFTER_CHARS]
  const cut = body.slice(from, to).toWellFormed().replace(/^\uFFFD|\uFFFD$/g, '').replace(/\s+/g, ' ')
  return `${from > 0 ? '…' : ''}${cut.trim()}${to < body.length ? '…' : ''}`
}
