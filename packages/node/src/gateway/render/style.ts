/** Colour for people, never the only carrier of a meaning. */
import { styleText } from 'node:util'

export type Format = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'
export type Paint = (format: Format, text: string) => string

/** Colours when the stream is a terminal, as https://no-color.org and FORCE_COLOR say. */
export function painter (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv, wanted: boolean): Paint {
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0'
  const refused = !wanted || env.FORCE_COLOR === '0' || (env.NO_COLOR !== undefined && env.NO_COLOR !== '') || env.TERM === 'dumb'
  const color = !refused && (forced || stream.isTTY === true)
  return (format, text) => color ? styleText(format, text, { validateStream: false }) : text
}
