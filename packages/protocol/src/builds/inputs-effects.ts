/** What goes into the machine of a build and what comes out of it, and what it can be told at its beginning. */
import type { Target } from '../election/claim-effects.ts'
import type { ClaimNeeds, ClaimWord } from '../election/messages.ts'
import type { BuildId, DeviceId } from '../ids.ts'

export type BuildState = 'queued' | 'electing' | 'sending' | 'running' | 'returning' | 'done' | 'failed' | 'cancelled'

export type BuildInput =
  | { type: 'start' }
  /** Answer to `elect` and `look`: whom to ask, best first. */
  | { type: 'ranked', order: Target[] }
  | { type: 'word', from: DeviceId, word: ClaimWord }
  | { type: 'unreachable', from: DeviceId, fence: number, reason: string }
  /** Any frame on the stream of this lease. A lease is named by its builder and its id: another builder may have given the same id. */
  | { type: 'heard', from: DeviceId, lease: string }
  | { type: 'stamp', from: DeviceId, lease: string, stamp: number }
  | { type: 'phase', from: DeviceId, lease: string, phase: 'sending' | 'running' | 'returning' }
  /** The stream of this lease ended before its result, or could not be opened. */
  | { type: 'reset', from: DeviceId, lease: string, reason: string }
  /** The builder could not run it; nothing of it runs there any more. */
  | { type: 'failed', from: DeviceId, lease: string, code: string, message: string, fix: string }
  /** While nobody can be asked: something changed, look again. */
  | { type: 'news' }
  /** A device says that it has a free slot: a build that waits asks for it. */
  | { type: 'free', device: DeviceId }
  /** The whole result with every output is here. */
  | { type: 'result', from: DeviceId, lease: string, fence: number }
  | { type: 'cancel' }
  | { type: 'tick' }

export interface Attempt { attempt: number, device: DeviceId, outcome: string }
export interface Failure { code: string, message: string, fix: string }

export type BuildEffect =
  | { type: 'send', to: DeviceId, word: ClaimWord }
  /** Rank and answer with `ranked`. `avoid` failed this build before: last in the order. */
  | { type: 'elect', attempt: number, avoid: DeviceId[], localOnly: boolean }
  /** Nobody can be asked now, and the build waits `waitMs` in all: say `news` when something changes; it looks again by itself too. */
  | { type: 'await', refused: Array<{ device: DeviceId, reason: string }>, waitMs: number }
  /** Rank again while waiting, answer with `ranked`. */
  | { type: 'look' }
  | { type: 'busy', device: DeviceId, queue: number, expectedWaitS: number }
  /** Open the build stream with this lease; `again` after a broken stream: resume the log. */
  | { type: 'open', to: DeviceId, lease: string, fence: number, attempt: number, again: boolean }
  | { type: 'echo', to: DeviceId, lease: string, stamp: number }
  /** Close the stream of this lease: nothing that comes on it counts any more. */
  | { type: 'abandon', to: DeviceId, lease: string, fence: number, reason: string }
  /** The slot was gone before the build began there: it waits again. That is no attempt, and nobody's fault. */
  | { type: 'again', from: DeviceId, why: string }
  | { type: 'moved', from: DeviceId, attempt: number, why: string, code: string }
  /** The result of this lease is the result of the build. At most once. */
  | { type: 'accept', from: DeviceId, lease: string, fence: number, attempt: number }
  | { type: 'ended', state: 'failed' | 'cancelled', failure: Failure, refused: Array<{ device: DeviceId, reason: string }> }

export interface BuildInit {
  build: BuildId
  needs: ClaimNeeds
  /** Never two attempts at once. @default false */
  exclusive?: boolean
  /** After the attempts, once more on this device. @default false */
  localFallback?: boolean
  /** How late this device's event loop was lately, milliseconds. @default 0 */
  lagMs?: () => number
  /** Attempts on builders. @default 3 */
  attemptsMax?: number
  /** Milliseconds from start to wait for a builder while nobody can be asked. @default 0 */
  waitMs?: number
  /** Milliseconds from start until the build is given up with `DEADLINE`. @default Infinity */
  deadlineMs?: number
}
