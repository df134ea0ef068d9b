/** What `status` says of what builds left here and nothing could remove. Pure. */
import type { Problem } from '../../api.ts'
import type { Leftover } from '../../ports/engine.ts'

const TOLD_MAX = 5
const PROCESS = /^\/proc\/(\d+)$/
const STUCK = '(one that stays waits in the kernel, for a disk for instance: it ends with that, or with a reboot)'
const KEPT = '(when something stays: lsattr -d and findmnt say why)'
/** A build chooses the names of its files: no other name comes into a command that a person copies. */
const PLAIN = /^(\/[\w.][\w.-]*)+$/

export function leftoverProblems (left: readonly Leftover[]): Problem[] {
  if (left.length === 0) return []
  const told = left.slice(0, TOLD_MAX).map(({ path, uid }) => `${nameOf(path)} (uid ${uid})`)
  const more = left.length > TOLD_MAX ? [`and ${left.length - TOLD_MAX} more`] : []
  const message = `builds left what could not be removed: ${[...told, ...more].join(', ')}`
  return [{ code: 'BUILD_LEFTOVERS', message, fix: fixOf(left.slice(0, TOLD_MAX)) }]
}

function nameOf (path: string): string {
  const pid = PROCESS.exec(path)?.[1]
  return pid !== undefined ? `process ${pid}` : PLAIN.test(path) ? path : JSON.stringify(path)
}

function fixOf (left: readonly Leftover[]): string {
  const pids = left.flatMap(({ path }) => PROCESS.exec(path)?.[1] ?? [])
  const paths = left.map(({ path }) => path).filter(path => !PROCESS.test(path))
  const odd = paths.some(path => !PLAIN.test(path))
  return [
    ...pids.length === 0 ? [] : [`sudo kill -9 ${pids.join(' ')}   ${STUCK}`],
    ...odd ? ['Look at it and remove it as root.'] : [],
    ...odd || paths.length === 0 ? [] : [`sudo rm -rf ${paths.join(' ')}   ${KEPT}`],
  ].join('; ')
}
