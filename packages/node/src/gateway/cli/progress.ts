/** What is under way, said on stderr once it takes more than a second: one line that is painted over on a terminal, one plain line elsewhere. */
import { WIDTH } from '../render/table.ts'
import { plain } from '../render/units.ts'
import { fitTo } from '../render/width.ts'
import type { Screen } from './io.ts'

const EVERY_MS = 1000

/** Until the returned function is called; a painted line is gone then. Never keeps the process alive. */
export function startProgress (stderr: Screen, env: NodeJS.ProcessEnv, what: string): () => void {
  const paints = stderr.isTTY === true && env.TERM !== 'dumb'
  let seconds = 0
  const timer = setInterval(() => {
    seconds++
    if (paints) return void stderr.write(`\r\u001b[K${fitTo(plain(`${what} … ${seconds} s`), (stderr.columns ?? WIDTH) - 1)}`)
    stderr.write(`${plain(what)} …\n`)
    clearInterval(timer)
  }, EVERY_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
    if (paints && seconds > 0) stderr.write('\r\u001b[K')
  }
}
