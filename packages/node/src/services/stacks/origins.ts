/**
 * Which repository each stack is of, and which stack a repository means. Any member can record an origin, so none is
 * followed silently: a stack with several says so to whoever uses it ({@link Place}).
 */
import { ElderError, originOf, stackNamesOf } from '@elder-node/protocol'
import type { Place } from '../../api.ts'

export interface OriginsComponents {
  /** What is recorded: each stack with its origins, the one it was made for first. */
  known: () => ReadonlyMap<string, string[]>
  record: (stack: string, origin: string) => Promise<void>
}

/** `share`: the stack may be of another repository too; a person said so. */
export interface Claim { origin: string, share?: boolean }

export class Origins {
  readonly #components: OriginsComponents
  /** Claims whose record is not written yet: two writers of one moment must not both be the first. */
  readonly #pending = new Map<string, string>()

  constructor (components: OriginsComponents) { this.#components = components }

  /** Every repository that the stack is known to be of, the one it was made for first. */
  of (stack: string): string[] {
    const pending = this.#pending.get(stack)
    const known = this.#components.known().get(stack) ?? []
    return pending === undefined || known.includes(pending) ? known : [...known, pending]
  }

  /**
   * The stack that a repository means: the one that is bound to it, else the first of its names that no other
   * repository has. `recorded`: the name that its worktree says.
   *
   * @throws ElderError `STACK_UNKNOWN` when all its names are taken
   */
  place ({ origin: url, recorded }: { origin?: string, recorded?: string }): Place {
    const origin = url === undefined ? undefined : originOf(url)
    const own = origin === undefined ? undefined : this.#own(origin)
    const stack = recorded ?? own?.stack
    if (stack === undefined) throw unknown(url)
    const origins = this.of(stack)
    const bound = origin !== undefined && origins.includes(origin)
    const passed = recorded === undefined ? own?.passed ?? null : null
    return { stack, origin: origin ?? null, origins, bound, own: own?.stack ?? null, passed }
  }

  /**
   * Runs the write that makes the stack one of this repository, then records it, unless that is known.
   *
   * @throws ElderError `STACK_ORIGIN` when it is another's
   */
  async claiming<T> (stack: string, { origin: url, share = false }: Claim, write: () => Promise<T>): Promise<T> {
    const origin = originOf(url)
    const origins = this.of(stack)
    if (origin === undefined || origins.includes(origin)) return await write()
    if (origins.length > 0 && !share) throw another(stack, origins)
    this.#pending.set(stack, origin)
    try {
      const written = await write()
      await this.#components.record(stack, origin)
      return written
    } finally {
      this.#pending.delete(stack)
    }
  }

  #own (origin: string): { stack: string, passed: Place['passed'] } | undefined {
    const [known] = [...this.#components.known()].filter(([, origins]) => origins.includes(origin))
      .sort(([a, [first]], [b, [other]]) => Number(other === origin) - Number(first === origin) || (a < b ? -1 : 1))
    if (known !== undefined) return { stack: known[0], passed: null }
    const names = stackNamesOf(origin)
    const free = names.find(name => this.of(name).every(other => other === origin))
    const [first = ''] = names
    if (free === undefined) return undefined
    return { stack: free, passed: free === first ? null : { stack: first, of: this.of(first)[0] ?? '' } }
  }
}

function another (stack: string, origins: string[]): ElderError {
  return new ElderError(
    'STACK_ORIGIN', `The stack ${stack} is of another repository: ${origins.join(', ')}.`,
    'Name a stack in the command: elder-node stack add <stack> --kind note --title "…"', { stack, origins },
  )
}

function unknown (url: string | undefined): ElderError {
  const taken = 'every name that fits its origin is the stack of another repository'
  return new ElderError(
    'STACK_UNKNOWN', `No stack is named, and ${url === undefined ? 'the folder names none' : taken}.`,
    'Name it in the command: elder-node stack show my-repo',
  )
}
