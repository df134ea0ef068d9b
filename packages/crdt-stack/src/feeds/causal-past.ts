/**
 * The causal past of a record: per run (by its index) the last seq that lies in it. Kept in chunks that pasts share: a record costs
 * the chunks that it changes, so one that makes thousands of runs does not make everybody pay their square.
 */

const CHUNK_RUNS = 256
const NO_CHUNK: Uint32Array = new Uint32Array(0)

export class Past {
  static readonly NONE: Past = new Past([])
  /** Each as long as it has to be; what is beyond is 0. */
  readonly #chunks: readonly Uint32Array[]

  private constructor (chunks: readonly Uint32Array[]) { this.#chunks = chunks }

  /** The last seq of a run that lies in it; 0 when none does. */
  at (run: number): number { return this.#chunks[Math.floor(run / CHUNK_RUNS)]?.[run % CHUNK_RUNS] ?? 0 }

  /** Every run of which something lies in it. */
  * runs (): Generator<number> {
    for (const [i, chunk] of this.#chunks.entries()) for (const [j, seq] of chunk.entries()) if (seq > 0) yield i * CHUNK_RUNS + j
  }

  /** The past that holds what lies in this one or in the other. */
  union (other: Past): Past {
    if (other === this || other.#chunks.length === 0) return this
    const length = Math.max(this.#chunks.length, other.#chunks.length)
    const chunks = Array.from({ length }, (_, i) => greatest(this.#chunks[i] ?? NO_CHUNK, other.#chunks[i] ?? NO_CHUNK))
    return chunks.every((chunk, i) => chunk === this.#chunks[i]) ? this : new Past(chunks)
  }

  /** With the records of a run up to `seq`. */
  with (run: number, seq: number): Past {
    if (this.at(run) >= seq) return this
    const at = Math.floor(run / CHUNK_RUNS)
    const chunks = Array.from({ length: Math.max(this.#chunks.length, at + 1) }, (_, i) => this.#chunks[i] ?? NO_CHUNK)
    const before = chunks[at] as Uint32Array
    const chunk = new Uint32Array(Math.max(before.length, run % CHUNK_RUNS + 1))
    chunk.set(before)
    chunk[run % CHUNK_RUNS] = seq
    chunks[at] = chunk
    return new Past(chunks)
  }
}

/** Per run the greater seq of the two; one of the chunks itself where it covers the other, so that it stays shared. */
function greatest (a: Uint32Array, b: Uint32Array): Uint32Array {
  if (a === b || covers(a, b)) return a
  if (covers(b, a)) return b
  return Uint32Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0))
}

function covers (a: Uint32Array, b: Uint32Array): boolean { return a.length >= b.length && b.every((seq, i) => (a[i] as number) >= seq) }
