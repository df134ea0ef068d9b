/**
 * What builds rely on of every engine, those of their tests and of the simulator too. What engines that run commands must
 * do besides is in test/engine/acceptance.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Engine, RunEvent, RunSpec } from '../../src/ports/engine.ts'

export interface EnginePlace {
  engine: Engine
  /** Prints something and exits with 0. */
  short (tree: string): RunSpec
  /** Prints something, then runs until it is ended. */
  long (tree: string): RunSpec
  /** Has work done where time passes by itself. @default here */
  within?: (work: () => Promise<void>) => Promise<void>
}

const KILLED = { type: 'exit', exitCode: 137, signal: 'SIGKILL', reason: null }
const signal = new AbortController().signal
let count = 0

export function runAcceptance (name: string, make: () => Promise<EnginePlace>): void {
  const check = (what: string, body: (place: EnginePlace, tree: string) => Promise<void>): void => {
    test(what, async () => {
      const place = await make()
      await (place.within ?? (work => work()))(async () => {
        const tree = await place.engine.createTree(`t${++count}`, 0)
        try { await body(place, tree) } finally { await place.engine.removeTree(tree) }
      })
    })
  }

  describe(`${name}: a run`, () => {
    check('is started, prints, and exits', async ({ engine, short }, tree) => {
      const types: string[] = []
      let last: RunEvent | undefined
      for await (const event of engine.run(short(tree), { signal })) {
        if (types.at(-1) !== 'log' || event.type !== 'log') types.push(event.type)
        last = event
      }
      expect(types).toEqual(['started', 'log', 'exit'])
      expect(last).toEqual({ type: 'exit', exitCode: 0, signal: null, reason: null })
    })

    check('that is cancelled ends with the exit of what was killed', async ({ engine, long }, tree) => {
      const cancel = new AbortController()
      const events: RunEvent[] = []
      for await (const event of engine.run(long(tree), { signal: cancel.signal })) {
        events.push(event)
        if (event.type === 'log') cancel.abort()
      }
      expect(events.filter(({ type }) => type === 'exit')).toEqual([KILLED])
      expect(events.at(-1)).toEqual(KILLED)
    })

    check('that was cancelled before it began is not started', async ({ engine, long }, tree) => {
      const events: RunEvent[] = []
      for await (const event of engine.run(long(tree), { signal: AbortSignal.abort() })) events.push(event)
      expect(events).toEqual([KILLED])
    })

    check('has a tree of its own, which may be removed again when it is gone', async ({ engine }, tree) => {
      const other = await engine.createTree(`t${++count}`, 1)
      expect(other).not.toBe(tree)
      for (let i = 0; i < 2; i++) await engine.removeTree(other)
    })
  })
}
