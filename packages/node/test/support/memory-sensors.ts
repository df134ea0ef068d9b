import type { HostFacts, HostSample, Sensors } from '../../src/ports/host.ts'

const GIB = 2 ** 30
const FACTS: HostFacts = {
  platform: 'linux/x64', cores: 4, memoryTotalBytes: 8 * GIB, cpuModel: 'none', hostname: 'none',
}
const SAMPLE: HostSample = {
  load: 0.1, pressure: undefined, memoryFreeBytes: 4 * GIB, diskFreeBytes: 32 * GIB, diskTotalBytes: 64 * GIB,
  onBattery: false,
}

/** A machine that is always the same. */
export class MemorySensors implements Sensors {
  readonly #hostname: string

  constructor (hostname: string = FACTS.hostname) { this.#hostname = hostname }

  async facts (): Promise<HostFacts> { return { ...FACTS, hostname: this.#hostname } }
  async sample (): Promise<HostSample> { return { ...SAMPLE } }
}
