/** How a build ended, as every engine says it. */
import { constants } from 'node:os'
import type { RunEvent } from '../../ports/engine.ts'

export type ExitEvent = Extract<RunEvent, { type: 'exit' }>

export const CANCELLED: ExitEvent = { type: 'exit', exitCode: 137, signal: 'SIGKILL', reason: null }
export const DISK_FULL: ExitEvent = { ...CANCELLED, reason: 'disk' }

/** An exit code of 128 + n is the shell's and the container's word for a death by signal n; null for any other. */
export function signalOf (exitCode: number): string | null {
  return Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)?.[0] ?? null
}
