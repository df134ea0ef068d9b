/** What a person is told of a roster that does not read: by a start, by `status` and by `doctor`. Pure. */
import { ElderError } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import { DAMAGE_FILE, ROSTER_LOG } from './record-book.ts'

type Paths = Pick<PrivateFiles, 'path'>

/** The device is a member all the same. `damage`: as the record book says it. */
export function rosterProblem (files: Paths, damage: string): Problem {
  return {
    code: 'ROSTER_DAMAGED',
    message: `${files.path(ROSTER_LOG)} was ${damage}. What is missing comes back from the other devices; ` +
      'until then this one may not know who was invited, promoted or evicted.',
    fix: `Start another device of the mesh. If there is none any more: rm ${files.path(DAMAGE_FILE)}`,
  }
}

/** The log of the members does not show this device, and that says nothing: it is damaged. */
export function rosterDamaged (files: Paths, damage: string): ElderError {
  return new ElderError(
    'ROSTER_DAMAGED',
    `${files.path(ROSTER_LOG)} is ${damage}, and not what makes this device a member. It is left as it is.`,
    'On another device: elder-node invite; then here: elder-node join <ticket>. Or restore it from a backup.',
  )
}
