import type { RandomBytes } from '../ports/host.ts'

/** Uniform in [0, 1), in steps of 2^-32. */
export function uniform (random: RandomBytes): number {
  return random(4).reduce((sum, byte) => sum * 256 + byte, 0) / 2 ** 32
}
