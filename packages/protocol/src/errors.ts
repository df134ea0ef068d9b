/**
 * Errors that cross a process, a stream or a JSON document.
 *
 * Match on `code`, never on `instanceof`: an error may come from another copy of this package or from another device.
 */

/** The JSON shape of an error: `{"error": ErrorJson}` is what every `--json` command prints on failure. */
export interface ErrorJson {
  code: string
  /** What happened and why, one or two sentences. */
  message: string
  /** The command or step that mends it; empty when nothing can be done. */
  fix: string
  data?: Record<string, unknown>
}

/** Base class: what happened, why, and the fix. */
export class ElderError extends Error {
  readonly code: string
  readonly fix: string
  readonly data: Record<string, unknown>

  constructor (code: string, message: string, fix = '', data: Record<string, unknown> = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'ElderError'
    this.code = code
    this.fix = fix
    this.data = data
  }

  toJSON (): ErrorJson {
    return { code: this.code, message: this.message, fix: this.fix, ...(Object.keys(this.data).length > 0 ? { data: this.data } : {}) }
  }

  static fromJSON (json: ErrorJson): ElderError {
    return new ElderError(json.code, json.message, json.fix, json.data ?? {})
  }
}

/** Thrown when bytes from outside do not decode, exceed a bound or break a wire rule. The sender's fault. */
export class MalformedError extends ElderError {
  constructor (message: string, data: Record<string, unknown> = {}) {
    super('MALFORMED', message, '', data)
    this.name = 'MalformedError'
  }
}

/** Reads the code of anything thrown; `UNKNOWN` when it has none. */
export function codeOf (error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'UNKNOWN'
}
