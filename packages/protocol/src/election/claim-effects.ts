/** What a claim works with and asks its host to do. */
import type { DeviceId } from '../ids.ts'
import type { ClaimWord } from './messages.ts'

/** A builder worth asking, best first in a list. */
export interface Target {
  device: DeviceId
  /** Undefined when never measured. */
  rttMs: number | undefined
}

export interface Won { to: DeviceId, lease: string, fence: number }

export type ClaimEffect =
  | { type: 'send', to: DeviceId, word: ClaimWord }
  | { type: 'won', won: Won }
  /** Every builder said no, with its reason. */
  | { type: 'lost', refused: Array<{ device: DeviceId, reason: string }> }
  /** Fresher than gossip: feed the table. */
  | { type: 'busy', device: DeviceId, queue: number, expectedWaitS: number }
  /** Nobody has a slot: waiting from now on. */
  | { type: 'waiting' }
  /** Please rank again and answer with `retarget`. */
  | { type: 'look' }
