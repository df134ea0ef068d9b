/** What every command gets: where, as whom, how to print, and the signal that ends it. */
import { resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { ControlClient } from '../control-client.ts'
import { locate } from '../location.ts'
import type { Location } from '../location.ts'
import { milliseconds } from '../render/units.ts'
import type { Globals } from './globals.ts'
import type { Io } from './io.ts'
import type { Output } from './output.ts'

export interface Context {
  io: Io
  globals: Globals
  output: Output
  location: Location
  client: ControlClient
  /** `--as`, else `ELDER_AGENT`. */
  agent: { agent?: string }
  /** Aborts at Ctrl-C (unless the command handles it by itself) and at `--timeout`. */
  signal: AbortSignal
  /** From now on the command handles Ctrl-C: the listener hears each one. */
  takeInterrupts (listener: (count: number) => void): void
  /** Frees the signal handlers and the timer. */
  dispose (): void
}

/** One Ctrl-C arrives twice below npm: from the terminal and passed on by npm. */
const SAME_INTERRUPT_MS = 250

/** `--timeout` bounds every command but `join`, where it bounds admission. */
export function createContext (io: Io, globals: Globals, output: Output, { bounded }: { bounded: boolean }): Context {
  const location = locate(globals.dir === undefined ? undefined : resolve(io.cwd, globals.dir), io.env)
  const ended = new AbortController()
  let count = 0
  let lastMs = -Infinity
  let listener = (): void => ended.abort(new ElderError('CANCELLED', 'cancelled'))
  const unsubscribe = io.onInterrupt(() => {
    if (io.nowMs() - lastMs < SAME_INTERRUPT_MS) return
    lastMs = io.nowMs()
    count++
    listener()
  })
  const timer = bounded && globals.timeoutMs !== undefined ? setTimeout(() => ended.abort(timedOut(globals.timeoutMs ?? 0)), globals.timeoutMs) : undefined
  const agent = globals.as ?? io.env.ELDER_AGENT
  return {
    io, globals, output, location,
    client: new ControlClient(location),
    agent: agent === undefined || agent === '' ? {} : { agent },
    signal: ended.signal,
    takeInterrupts (own) { listener = () => own(count) },
    dispose () {
      clearTimeout(timer)
      unsubscribe()
    },
  }
}

function timedOut (ms: number): ElderError {
  return new ElderError('TIMEOUT', `no answer within ${milliseconds(ms)}`, 'Give it longer with --timeout 60s, or look at: elder-node status')
}
