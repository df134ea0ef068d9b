/** What all Sensors must do: those of this machine, those of a file, and those that tests of services use. */
import { describe, expect, test } from 'vitest'
import type { Sensors } from '../../src/ports/host.ts'

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value > 0

export function sensorsAcceptance (name: string, make: () => Promise<Sensors>): void {
  describe(`${name}: sensors`, () => {
    test('tell what does not change: the same each time, and each time a copy', async () => {
      const sensors = await make()
      const facts = await sensors.facts()
      expect(facts.platform).toMatch(/^[a-z0-9]+\/[a-z0-9]+$/)
      for (const text of [facts.cpuModel, facts.hostname]) expect(text).not.toBe('')
      expect([facts.cores, facts.memoryTotalBytes].every(isCount)).toBe(true)
      const before = { ...facts }
      facts.cores = 0
      expect(await sensors.facts()).toEqual(before)
    })

    test('read plausible values, also for several who ask at once, and each its own', async () => {
      const sensors = await make()
      const { memoryTotalBytes } = await sensors.facts()
      const samples = await Promise.all(Array.from({ length: 5 }, () => sensors.sample()))
      expect(new Set(samples).size).toBe(5)
      for (const { load, pressure = 0, memoryFreeBytes, diskFreeBytes, diskTotalBytes, onBattery } of samples) {
        for (const share of [load, pressure]) expect(share >= 0 && share <= 1).toBe(true)
        expect([memoryFreeBytes, diskFreeBytes, diskTotalBytes].every(isCount)).toBe(true)
        expect(memoryFreeBytes).toBeLessThanOrEqual(memoryTotalBytes)
        expect(diskFreeBytes).toBeLessThanOrEqual(diskTotalBytes)
        expect(onBattery).toBeTypeOf('boolean')
      }
    })
  })
}
