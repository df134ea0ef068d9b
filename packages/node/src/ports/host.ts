/** The machine: clock, randomness and sensors. Injected, so tests and the harness can say what they like. */

export interface Clock {
  /** Milliseconds since 1970; may jump. For display and hybrid clocks only. */
  wallMs (): number
  /** Milliseconds on a clock that never goes back; it goes on while the machine sleeps. For leases, deadlines and ages. */
  monotonicMs (): number
  /** Called once this machine or this process goes on after a pause of some seconds. Returns the unsubscriber. */
  onWake? (listener: (pausedMs: number) => void): () => void
}

export type RandomBytes = (length: number) => Uint8Array

/** Facts that do not change while the node runs. */
export interface HostFacts {
  /** `linux/x64`, `linux/arm64`, `darwin/arm64`, ... */
  platform: string
  cores: number
  memoryTotalBytes: number
  cpuModel: string
  hostname: string
}

/** One reading of what does. */
export interface HostSample {
  /** Share of all cores in use, 0 to 1. */
  load: number
  /** Share of the last 10 s in which some task waited for CPU, 0 to 1 (Linux PSI); undefined where the system has none. */
  pressure: number | undefined
  memoryFreeBytes: number
  diskFreeBytes: number
  diskTotalBytes: number
  /** True when the machine runs on battery. */
  onBattery: boolean
}

export interface Sensors {
  facts (): Promise<HostFacts>
  sample (): Promise<HostSample>
}

/** Stalls of the event loop of this process. */
export interface LoopMonitor {
  /** The longest one since the last call, seconds. */
  worstLagS (): number
  close (): void
}
