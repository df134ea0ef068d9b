/**
 * How many file descriptors this process may have, and which part may take how many. The system's bound is for all of them together:
 * files of stacks, connections, commands, the pipes of child processes. What has no bound of its own here gets the rest.
 */
import { readFileSync } from 'node:fs'

export interface DescriptorBudget {
  /** Files of stacks that stay open between two writes. */
  files: number
  /** Connections with other devices. */
  connections: number
  /** Calls on the control socket, those that are turned away included. */
  calls: number
}

/** macOS gives a process 256 at a login shell; Node raises the soft limit to the hard one where it can. */
const ASSUMED = 256
/** More files or connections than any mesh of a person's devices uses, whatever the system gives. */
const MOST: DescriptorBudget = { files: 512, connections: 300, calls: 1024 }
const SHARE: DescriptorBudget = { files: 1 / 4, connections: 1 / 4, calls: 1 / 8 }

/** Each part's bound: its share of what this process may have, up to what it could ever use. */
export function descriptorBudget (limit: number = descriptorLimit()): DescriptorBudget {
  const bound = (part: keyof DescriptorBudget): number => Math.max(8, Math.min(MOST[part], Math.floor(limit * SHARE[part])))
  return { files: bound('files'), connections: bound('connections'), calls: bound('calls') }
}

/** The soft limit of this process, as Linux tells it; elsewhere a number that every system gives. */
export function descriptorLimit (limits: string = readLimits()): number {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1]
  return soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft ?? ASSUMED)
}

function readLimits (): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}
