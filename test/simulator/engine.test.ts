import { onTestFinished } from 'vitest'
import { specOf } from '../../packages/node/test/engine/acceptance.ts'
import { runAcceptance } from '../../packages/node/test/ports/engine.ts'
import { Host } from './builds/host.ts'
import { VirtualTime } from './virtual/time.ts'

runAcceptance('simulated', async () => {
  const time = new VirtualTime()
  const life = time.spawn('one')
  time.install()
  onTestFinished(() => { time.uninstall() })
  return {
    engine: new Host('one', time, () => 0.5, () => {}).engine(life, 1),
    short: tree => specOf(tree, ['sleep', '100']), long: tree => specOf(tree, ['sleep', '600000']),
    within: async work => {
      let isOver = false
      const working = time.inside(life, work).finally(() => { isOver = true })
      working.catch(() => {})
      await time.run(time.now + 2_000)
      if (!isOver) throw new Error('not over within two seconds')
      await working
    },
  }
})
