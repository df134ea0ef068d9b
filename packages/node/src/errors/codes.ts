/** What is known of a code: where it is met, why it comes about, what to do. */

/**
 * `error`: ends a command, or rejects a call of the library. `build`: in the result of a build, or why an attempt was lost. `problem`: in `status`.
 * `finding`: of `doctor` or `stack verify`. `peer`: what one device says to another; met in logs and messages. `page`: in an answer over HTTP.
 */
export type CodeKind = 'error' | 'build' | 'problem' | 'finding' | 'peer' | 'page'

export interface CodeFacts {
  readonly kinds: readonly CodeKind[]
  readonly cause: string
  /** What to do; commands in backquotes, as they are typed. */
  readonly fix: string
}

export type Codes = Readonly<Record<string, CodeFacts>>

export function met (kinds: string, cause: string, fix: string): CodeFacts { return { kinds: kinds.split(' ') as CodeKind[], cause, fix } }
export function error (cause: string, fix: string): CodeFacts { return met('error', cause, fix) }
