import { LIMITS } from '@elder-node/protocol'

export interface LogPiece { offset: number, stream: 'stdout' | 'stderr', data: Uint8Array }

/** A piece in memory, besides its bytes: a command that flushes every byte must not cost a hundred times its log. */
const PIECE_BYTES = 128

/** The log of one build with offsets, bounded: its head and its tail stay, the middle goes. */
export class LogRing {
  readonly #head: LogPiece[] = []
  #tail: LogPiece[] = []
  readonly #halfBytes: number
  #headBytes = 0
  #tailBytes = 0
  #end = 0

  constructor (bytesMax: number = LIMITS.logBytesMax) { this.#halfBytes = bytesMax / 2 }

  /** Bytes of log so far, dropped ones included: the offset of the next piece. */
  get end (): number { return this.#end }

  push (stream: 'stdout' | 'stderr', data: Uint8Array): void {
    const piece = { offset: this.#end, stream, data }
    this.#end += data.length
    if (this.#tailBytes === 0 && this.#headBytes + heldBytes(piece) <= this.#halfBytes) {
      this.#head.push(piece)
      this.#headBytes += heldBytes(piece)
      return
    }
    this.#tail.push(piece)
    this.#tailBytes += heldBytes(piece)
    while (this.#tailBytes > this.#halfBytes && this.#tail.length > 1) this.#tailBytes -= heldBytes(this.#tail.shift() as LogPiece)
  }

  /** The first piece that holds bytes at or after the offset, cut to start there; undefined when there is none yet. */
  next (offset: number): LogPiece | undefined {
    const find = (pieces: LogPiece[]): LogPiece | undefined => pieces[lowerBound(pieces, offset)]
    const piece = find(this.#head) ?? find(this.#tail)
    if (piece === undefined || piece.offset >= offset) return piece
    return { ...piece, offset, data: piece.data.subarray(offset - piece.offset) }
  }
}

function heldBytes ({ data }: LogPiece): number { return PIECE_BYTES + data.length }

/** Index of the first piece that ends after the offset. */
function lowerBound (pieces: LogPiece[], offset: number): number {
  let low = 0
  for (let high = pieces.length; low < high;) {
    const mid = (low + high) >> 1
    const piece = pieces[mid] as LogPiece
    if (piece.offset + piece.data.length <= offset) low = mid + 1
    else high = mid
  }
  return low
}
