/** Where a part says what it does: the shape of a pino logger, so that one can be passed as it is. */

/** First argument: fields, or the message itself. Never secrets, never tickets. */
export type LogMethod = (what: object | string, message?: string) => void

export interface Logger {
  debug: LogMethod
  info: LogMethod
  warn: LogMethod
  error: LogMethod
}
