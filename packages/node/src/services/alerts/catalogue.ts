/**
 * What this node calls a problem by itself, and for how long it has to hold first. `status` shows them, `status --check` exits 5 on them,
 * `/metrics` counts them as `elder_alert{code}`; the reference in the documentation is made of this table.
 */
export interface AlertFacts {
  /** What is looked at, with its threshold. */
  readonly when: string
  /** Milliseconds for which the condition must hold without a break. */
  readonly holdMs: number
  /**
   * For a condition that is known to have held before anybody looked (since when a mirror is behind is written down): milliseconds for which this node must
   * have seen it itself, so that a device that just woke up has the time to make up for it. @default holdMs
   */
  readonly settleMs?: number
}

export type AlertCode =
  | 'NO_NETWORK' | 'RESTART_LOOP' | 'DEVICE_DOWN' | 'DISK_LOW' | 'MEMORY_HIGH' | 'LOOP_BLOCKED' | 'QUEUE_STUCK'
  | 'RECORDS_WAIT' | 'ONLY_COPY' | 'MIRROR_BEHIND' | 'MIRROR_STALE' | 'VERSION_SKEW'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Thresholds, each where a reader looks for it. */
export const THRESHOLDS: Readonly<{ memoryUsed: number, diskFree: number, diskEnough: number, loopLagS: number, crashes: number, crashWindowMs: number, mirrorStaleMs: number }> = {
  memoryUsed: 0.9,
  diskFree: 0.1,
  /** A disk that was low is called so until this share is free: an alert that goes with each build helps nobody. */
  diskEnough: 0.12,
  /** Seconds of one stall. */
  loopLagS: 1,
  crashes: 3,
  crashWindowMs: 15 * MINUTE_MS,
  mirrorStaleMs: 4 * HOUR_MS,
}

/** In the order in which `status` shows them. */
export const ALERTS: Readonly<Record<AlertCode, AlertFacts>> = {
  NO_NETWORK: { when: 'there are other members, none is connected, and this device has no address but loopback', holdMs: 0 },
  RESTART_LOOP: { when: `more than ${THRESHOLDS.crashes} lives of this node within 15 minutes began after an end that was not clean`, holdMs: 0 },
  DEVICE_DOWN: { when: 'a device that offered build slots when it was last heard by this life of the node is not online; a device without slots, such as a laptop on battery, may come and go', holdMs: MINUTE_MS },
  DISK_LOW: { when: 'less than 10 % of the disk of an online device is free, until 12 % are', holdMs: 0 },
  MEMORY_HIGH: { when: 'more than 90 % of the memory of an online device is used', holdMs: 5 * MINUTE_MS },
  LOOP_BLOCKED: { when: 'the event loop of this node stalls for more than 1 s in every window of 15 s', holdMs: MINUTE_MS },
  QUEUE_STUCK: { when: 'a build of this device waits for a slot while an online device that would take it has a free one', holdMs: MINUTE_MS },
  RECORDS_WAIT: {
    when: 'records of a stack are here and lack something that they lead to, which no device and no remote has sent', holdMs: MINUTE_MS,
  },
  ONLY_COPY: { when: 'a stack with entries is on no other device, and on no remote in full', holdMs: 0 },
  MIRROR_BEHIND: { when: 'a remote did not take what it should', holdMs: 0 },
  MIRROR_STALE: { when: 'changes of a stack have not been on one of its remotes for 4 hours', holdMs: THRESHOLDS.mirrorStaleMs, settleMs: 2 * MINUTE_MS },
  VERSION_SKEW: { when: 'an online device runs another version than this one', holdMs: HOUR_MS },
}

export const ALERT_CODES: readonly AlertCode[] = Object.keys(ALERTS) as AlertCode[]
