/**
 * What the mesh has settled about its stacks, as entries of the settings stack: which repository a stack was made for.
 *
 * An entry of kind `origin` says {"stack","origin"} as JSON. Any member can write one, so none is ever taken silently: a stack that has
 * several origins says so to whoever uses it (see {@link Place}).
 */
import type { Entry } from '@elder-node/crdt-stack'
import { ElderError, originOf, stackNamesOf, STACK_NAME, type Crypto } from '@elder-node/protocol'
import type { Place } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'

export interface StackBookComponents {
  crypto: Crypto
  /** The settings stack; undefined while nothing was ever settled. */
  settings: () => HeldStack | undefined
  /** The same, made when it is missing. */
  open: () => Promise<HeldStack>
}

/** `share`: the stack may be of another repository too; a person said so. */
export interface Claim { origin: string, share?: boolean }

interface View {
  /** Each stack with its origins, the first it was made for at the head. */
  origins: Map<string, string[]>
}

export class StackBook {
  readonly #components: StackBookComponents
  /** Claims whose record is not written yet: two writers of one moment must not both be the first. */
  readonly #pending = new Map<string, string>()
  #seen: { feeds: Uint8Array, view: View } | undefined

  constructor (components: StackBookComponents) { this.#components = components }

  /** Every repository that the stack is known to be of, the one it was made for first. */
  originsOf (stack: string): string[] {
    const pending = this.#pending.get(stack)
    const known = this.#view().origins.get(stack) ?? []
    return pending === undefined || known.includes(pending) ? known : [...known, pending]
  }

  /**
   * The stack that a repository means: the one that is bound to it, else the first of its names that no other repository has.
   * `recorded`: the name that its worktree says.
   *
   * @throws ElderError `STACK_UNKNOWN` when all its names are taken
   */
  place ({ origin: url, recorded }: { origin?: string, recorded?: string }): Place {
    const origin = url === undefined ? undefined : originOf(url)
    const own = origin === undefined ? undefined : this.#own(origin)
    const stack = recorded ?? own?.stack
    if (stack === undefined) throw unknown(url)
    const origins = this.originsOf(stack)
    const bound = origin !== undefined && origins.includes(origin)
    return { stack, origin: origin ?? null, origins, bound, own: own?.stack ?? null, passed: recorded === undefined ? own?.passed ?? null : null }
  }

  /**
   * Runs the write that makes the stack one of this repository, then records it, unless that is known.
   *
   * @throws ElderError `STACK_ORIGIN` when it is another's
   */
  async claiming<T> (stack: string, { origin: url, share = false }: Claim, write: () => Promise<T>): Promise<T> {
    const origin = originOf(url)
    const origins = this.originsOf(stack)
    if (origin === undefined || origins.includes(origin)) return await write()
    if (origins.length > 0 && !share) throw another(stack, origins)
    this.#pending.set(stack, origin)
    try {
      const written = await write()
      const { stack: settings } = await this.#components.open()
      await settings.add({ kind: 'origin', title: `${stack} ${origin}`, body: JSON.stringify({ stack, origin }) })
      return written
    } finally {
      this.#pending.delete(stack)
    }
  }

  #own (origin: string): { stack: string, passed: Place['passed'] } | undefined {
    const [known] = [...this.#view().origins].filter(([, origins]) => origins.includes(origin))
      .sort(([a, [first]], [b, [other]]) => Number(other === origin) - Number(first === origin) || (a < b ? -1 : 1))
    if (known !== undefined) return { stack: known[0], passed: null }
    const names = stackNamesOf(origin)
    const free = names.find(name => this.originsOf(name).every(other => other === origin))
    const [first = ''] = names
    return free === undefined ? undefined : { stack: free, passed: free === first ? null : { stack: first, of: this.originsOf(first)[0] ?? '' } }
  }

  #view (): View {
    const held = this.#components.settings()
    const feeds = held?.feedsDigest(this.#components.crypto)
    if (held === undefined || feeds === undefined) return { origins: new Map() }
    if (this.#seen?.feeds !== feeds) this.#seen = { feeds, view: { origins: originsIn(held.stack.entries({ kind: 'origin' })) } }
    return this.#seen.view
  }
}

function originsIn (entries: Entry[]): View['origins'] {
  const found = new Map<string, string[]>()
  for (const { body } of entries) {
    const { stack, origin } = fieldsOf(body)
    if (typeof stack !== 'string' || !STACK_NAME.test(stack) || typeof origin !== 'string' || normal(origin) !== origin) continue
    const known = found.get(stack) ?? []
    if (!known.includes(origin)) found.set(stack, [...known, origin])
  }
  return found
}

/** What another device wrote is an origin only in the one form in which it is compared. */
function normal (origin: string): string | undefined { return originOf(origin.startsWith('/') ? origin : `https://${origin}`) }

function fieldsOf (body: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(body)) as Record<string, unknown>
  } catch {
    return {}
  }
}

function another (stack: string, origins: string[]): ElderError {
  return new ElderError('STACK_ORIGIN', `The stack ${stack} is of another repository: ${origins.join(', ')}.`, 'Name a stack in the command: elder-node stack add <stack> --kind note --title "…"', { stack, origins })
}

function unknown (url: string | undefined): ElderError {
  return new ElderError('STACK_UNKNOWN', `No stack is named, and ${url === undefined ? 'the folder names none' : 'every name that fits its origin is the stack of another repository'}.`, 'Name it in the command: elder-node stack show my-repo')
}
