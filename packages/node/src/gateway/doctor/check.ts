/** The shape of a check: a pure decision over facts. */
import type { Facts } from './facts.ts'

/** What `--fix` may do by itself: safe, on files of this user, and said afterwards. */
export type Repair = { do: 'chmod', path: string, mode: number } | { do: 'remove', path: string } | { do: 'mkdir', path: string }

export interface Finding {
  status: 'ok' | 'warn' | 'fail' | 'skip'
  message: string
  code?: string
  fix?: string
  repairs?: Repair[]
}

export interface Check { name: string, decide: (facts: Facts) => Finding | Finding[] }

export const ok = (message: string): Finding => ({ status: 'ok', message })
export const skip = (message: string): Finding => ({ status: 'skip', message })
export const warn = (code: string, message: string, fix: string, repairs: Repair[] = []): Finding => ({ status: 'warn', code, message, fix, repairs })
export const fail = (code: string, message: string, fix: string, repairs: Repair[] = []): Finding => ({ status: 'fail', code, message, fix, repairs })
