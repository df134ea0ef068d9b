/** A new name that nearly is one that exists, which is how a stack is made by a slip. Pure. */
import { edits } from '../../device-config/nearest.ts'

/** Shorter names differ by a character all the time: `api` and `app`. */
const SLIP_CHARS_MIN = 4
/** From here on two slips still make the same word. */
const LONG_CHARS = 8

/** Names that the new one is likely to mean, nearest first; none when it exists. */
export function nearNames (name: string, names: readonly string[]): string[] {
  if (names.includes(name)) return []
  const near = names.filter(other => isAlike(name, other) || edits(name, other) <= slipsOf(name, other))
  return near.sort((a, b) => edits(name, a) - edits(name, b) || (a < b ? -1 : 1))
}

function slipsOf (a: string, b: string): number {
  const chars = Math.max(a.length, b.length)
  return chars < SLIP_CHARS_MIN ? 0 : chars < LONG_CHARS ? 1 : 2
}

/** `my_repo` and `myrepo` are `my-repo`; `elder` is how `elder-node` begins. */
function isAlike (name: string, other: string): boolean {
  const bare = (text: string): string => text.replace(/[._-]/g, '')
  const isBeginning = other.startsWith(name) && /^[._-]/.test(other.slice(name.length))
  return bare(name) === bare(other) || (name.length >= SLIP_CHARS_MIN && isBeginning)
}
