import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { after, every } from '../src/timers.ts'

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

test('work that throws or rejects is told, and the timer comes again', async () => {
  const told: unknown[] = []
  let runs = 0
  const timer = every(10, () => {
    if (++runs === 1) throw new Error('thrown')
    return runs === 2 ? Promise.reject(new Error('rejected')) : undefined
  }, error => { told.push((error as Error).message) })
  after(5, () => { throw new Error('once') }, error => { told.push((error as Error).message) })
  await vi.advanceTimersByTimeAsync(35)
  clearInterval(timer)
  await vi.advanceTimersByTimeAsync(35)
  expect(told).toEqual(['once', 'thrown', 'rejected'])
  expect(runs).toBe(3)
})
