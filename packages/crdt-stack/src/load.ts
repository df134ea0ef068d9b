/** From what the store holds to a replica: chain and last signature of every feed, then the snapshot if it fits, then the tail. */
import { ElderError, equalBytes, recordHash, verifyHead, type Crypto, type StackId } from '@elder-node/protocol'
import { Replica } from './replica.ts'
import { loadState } from './snapshot.ts'
import { StackState } from './state.ts'
import type { StoredFeed } from './types.ts'

export function loadLogs (id: StackId, crypto: Crypto, feeds: StoredFeed[], snapshot: Uint8Array | undefined, notes: number): Replica {
  const state = withLogs(new StackState(id, crypto), feeds)
  if (snapshot === undefined || loadState(state, snapshot, notes)) return new Replica(state)
  return new Replica(withLogs(new StackState(id, crypto), feeds))
}

function withLogs (state: StackState, feeds: StoredFeed[]): StackState {
  for (const stored of feeds) {
    const { log } = state.feed(stored.feed)
    for (const bytes of stored.records) {
      const prev = prevOf(bytes)
      if (prev === undefined || !equalBytes(prev, log.hashAt(log.length))) throw corrupt(stored)
      log.push(bytes, recordHash(bytes, state.crypto))
    }
    const head = stored.heads.at(-1)
    if (head === undefined || head.seq !== log.length || !equalBytes(head.hash, log.hashAt(log.length)) || !verifyHead(state.id, stored.feed, head, state.crypto)) throw corrupt(stored)
    for (const known of stored.heads) log.heads.push(known)
  }
  return state
}

/** The `prev` of an encoded record without decoding the rest: an array of seven, a number, then 32 bytes. */
function prevOf (bytes: Uint8Array): Uint8Array | undefined {
  const info = (bytes[1] ?? 255) & 31
  const at = 2 + (info < 24 ? 0 : 2 ** (info - 24))
  return bytes[0] === 0x87 && info < 28 && bytes[at] === 0x58 && bytes[at + 1] === 32 ? bytes.subarray(at + 2, at + 34) : undefined
}

function corrupt ({ feed }: StoredFeed): ElderError {
  return new ElderError('STORE_CORRUPT', `the stored feed ${feed} breaks its own chain or signature`, 'Move its file away: other devices and the mirror send the records again.', { feed })
}
