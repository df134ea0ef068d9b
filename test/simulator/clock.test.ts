import { onTestFinished } from 'vitest'
import { clockAcceptance } from '../../packages/node/test/ports/clock.ts'
import { VirtualTime } from './virtual/time.ts'

clockAcceptance('a simulated device', () => {
  const time = new VirtualTime()
  const life = time.spawn('one')
  const clock = time.clockOf(life)
  const onWake = (listener: (pausedMs: number) => void): () => void => time.inside(life, () => clock.onWake(listener))
  const pass = (ms: number): Promise<void> => time.run(time.now + ms)
  time.install()
  onTestFinished(() => { time.uninstall() })
  return {
    pass, set: byMs => { life.wallAheadMs += byMs },
    clock: { wallMs: () => clock.wallMs(), monotonicMs: () => clock.monotonicMs(), onWake },
    stop: async ms => {
      time.stall(life, ms)
      await pass(ms)
    },
  }
})
