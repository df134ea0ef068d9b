/** What drives a build needs: what it may call, and what it is about. */
import type { BuildSpec, ClaimWord, DeviceId, Failure, Past } from '@elder-node/protocol'
import type { BuildRequest, DeviceRef } from '../../api.ts'
import type { Clock } from '../../ports/host.ts'
import type { FrameStream } from '../../ports/mesh.ts'
import type { Snapshot } from '../../ports/source.ts'
import type { Failed } from '../../timers.ts'
import type { ElectionResult } from './ranking.ts'
import type { SessionComponents } from './session.ts'

export interface RunHooks extends SessionComponents {
  self: DeviceId
  clock: Clock
  /** Told of a step that failed by a fault of the program; the build waits for the next thing that happens. */
  failed: Failed
  ref: (device: DeviceId) => DeviceRef
  elect: (localOnly: boolean) => Promise<ElectionResult>
  ask: (to: DeviceId, word: ClaimWord) => Promise<ClaimWord>
  open: (to: DeviceId, signal: AbortSignal) => Promise<FrameStream>
  /** Fresher than gossip: this builder has no slot. */
  busy: (device: DeviceId, queue: number, expectedWaitS: number) => void
  /** Sends the source ahead of a slot, until the build has `ended`. */
  prefetch: (to: DeviceId, snapshot: Snapshot, ended: AbortSignal) => Promise<void>
  /** One attempt ended: feeds the history, and answers what is to be kept. `runS` is null unless the command ended by itself. */
  attempted: (device: DeviceId, ok: boolean, runS: number | null) => Past
  /** Resolves when a device came, or told something new of itself. */
  news: (signal: AbortSignal) => Promise<void>
  /** Devices that say that they have a free slot, this one too. */
  free: () => DeviceId[]
  /** How late this device's event loop was lately, milliseconds. */
  lagMs: () => number
  /** Why nobody can be asked, when there is more to say than the candidates do: the device that was named is offline. */
  nobody: () => Failure | undefined
}

export interface RunInit {
  spec: BuildSpec
  snapshot: Snapshot
  /** Where outputs are written: absolute, without symlinks. */
  to: string
  request: BuildRequest
  localFallback: boolean
  startedWallMs: number
  /** Who named the image; null: nobody. */
  imageFrom: string | null
  /** Files that outputs may replace though they were not sent: there when the source was. */
  present: Promise<ReadonlySet<string> | undefined>
  /** What is to be said first, one sentence each. */
  warnings: string[]
}
