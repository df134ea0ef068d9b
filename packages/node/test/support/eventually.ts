import { vi } from 'vitest'

/** Waits for a condition as long as a busy machine may need; the second that vitest gives by itself is a guess. */
export async function eventually<T> (check: () => T | Promise<T>, { intervalMs = 10 }: { intervalMs?: number } = {}): Promise<T> {
  return await vi.waitFor(check, { timeout: 30_000, interval: intervalMs })
}
