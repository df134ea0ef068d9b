/**
 * The stack that a command means: the one that is named, else that of the git worktree around it. Nobody comes to
 * another stack than they think without being told: one by a name that another repository has, one that the worktree's
 * file names though it is another's, and one that a file of another user names.
 */
import type { Place } from '../../api.ts'
import { plain } from '../render/units.ts'
import { askYes, canAsk } from './confirm.ts'
import type { Context } from './context.ts'
import { stackNamed, worktreeStack, type WorktreeStack } from './stack-name.ts'

export interface Meant {
  name: string
  /** Binds the stack to the repository, with the first write. */
  claim?: { origin: string, share?: boolean }
  /** After a write: records the name in the worktree. */
  remember: () => Promise<void>
}

interface How { writes?: boolean }
type Asking = Pick<Context, 'client' | 'signal'>

/**
 * `writes`: at a terminal a doubtful stack is asked for, not only told. @throws ElderError `STACK_UNKNOWN`,
 * `STACK_FILE`, `CANCELLED`, `USAGE`
 */
export async function stackOf (context: Context, named?: string, { writes = false }: How = {}): Promise<Meant> {
  if (named !== undefined) return { name: stackNamed(named), remember: async () => {} }
  const found = await worktreeStack(context.io.cwd)
  const place = await askPlace(context, found)
  const doubt = doubtOf(found, place)
  const isAsked = doubt !== undefined && writes && canAsk(context)
  if (isAsked) await askYes(context, `${doubt} Write there?`)
  else if (doubt !== undefined) context.output.warn(`${doubt}${wayOut(found, place)}`)
  tellOthers(context, place)
  return { name: place.stack, ...claimOf(found, place, isAsked), remember: () => found.remember(place.stack) }
}

/** Of a stack that several repositories share, and of a name that another one has. */
function tellOthers ({ output }: Context, { stack, origin, origins, bound, passed }: Place): void {
  if (bound && origins.length > 1) output.note(`the stack ${stack} is of ${listed(origins)}`)
  if (passed === null) return
  output.warn(`the stack ${passed.stack} is of ${plain(passed.of)}; ${plain(origin ?? '')} has its own, ${stack}`)
}

function listed (origins: string[]): string { return origins.map(one => plain(one)).join(' and ') }

/** Asks the node, with what the worktree says. */
export async function askPlace ({ client, signal }: Asking, { origin, recorded }: WorktreeStack): Promise<Place> {
  const worktree = { ...(origin === undefined ? {} : { origin }), ...(recorded === undefined ? {} : { recorded }) }
  return await client.call('stack.place', worktree, { signal })
}

function doubtOf ({ file, foreign }: WorktreeStack, { stack, origin, origins, bound }: Place): string | undefined {
  if (foreign !== undefined) return `${plain(file)}, a file of another user (id ${foreign}), names the stack ${stack}.`
  if (origin === null || bound || origins.length === 0) return undefined
  return `${plain(file)} names the stack ${stack}, which is of ${listed(origins)}; this repository is ${plain(origin)}.`
}

function wayOut ({ foreign }: WorktreeStack, { own, stack }: Place): string {
  if (foreign !== undefined) return ' Name the stack in the command if that is not what you mean.'
  const share = 'to share this one, write to it once at a terminal.'
  return own === null || own === stack ? '' : ` To give it its own, write {"stack":"${own}"} there; ${share}`
}

/** Of a foreign file nothing is bound: it could make any stack that of any repository. */
function claimOf ({ origin, foreign }: WorktreeStack, place: Place, agreed: boolean): Pick<Meant, 'claim'> {
  if (origin === undefined || place.origin === null || place.bound || foreign !== undefined) return {}
  if (place.origins.length === 0) return { claim: { origin } }
  return agreed ? { claim: { origin, share: true } } : {}
}
