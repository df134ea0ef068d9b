/** `elder-node help <CODE>`: why a code comes about and what to do, as docs/reference/errors.md has it; works without a network. */
import { wrap } from '../render/width.ts'
import { EXIT, exitCodeOf } from './failure.ts'
import { guessFlags } from './globals.ts'
import type { Io } from './io.ts'
import { Output } from './output.ts'

/** Answers the exit code; undefined for words that are no known code. */
export async function explainCode (io: Io, words: readonly string[]): Promise<number | undefined> {
  const [help, code = ''] = words.filter(word => !word.startsWith('-'))
  if (help !== 'help' || !/^[A-Z]+(_[A-Z]+)*$/.test(code)) return undefined
  const { ERRORS } = await import('../../errors/catalogue.ts')
  const facts = ERRORS[code]
  if (facts === undefined) return undefined
  const output = new Output(io, guessFlags([...words]))
  const exit = exitCodeOf({ code })
  const ending = facts.kinds.includes('error') && exit !== EXIT.error ? `, exit ${exit}` : ''
  output.answer('help', { code, ...facts }, () => [
    `${output.paint('bold', code)} (${facts.kinds.join(', ')}${ending})`, ...wrap(facts.cause, output.width), ...wrap(`Do: ${facts.fix}`, output.width, '    '),
  ].join('\n'))
  return EXIT.ok
}
