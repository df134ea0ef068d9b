/** The page of codes: one heading each, so that a code can be linked to. */
import { ERROR_GROUPS } from '../../packages/node/src/errors/catalogue.ts'
import type { CodeFacts } from '../../packages/node/src/errors/codes.ts'
import { exitCodeOf } from '../../packages/node/src/gateway/cli/failure.ts'
import { page, table } from './markdown.ts'

const KINDS: Array<[string, string]> = [
  ['error', 'ends a command, or rejects a call of the library'], ['build', 'in the result of a build, or why an attempt was lost; exit code 125 unless said otherwise'],
  ['problem', 'shown by `elder-node status`'], ['finding', 'of `elder-node doctor` or `elder-node stack verify`'],
  ['peer', 'what one device says to another; met in logs and in messages'], ['page', 'in an answer over HTTP'],
]

export function errorsPage (): string {
  return page('Errors and problems',
    'Every code that a person or a program can meet: why it comes about, and what to do. Match on the code; messages may change. The message that comes with it names what it is about, and its fix is made for the case; this page has the general one, and `elder-node help NO_MESH` prints its entry.',
    table(['kind', 'met'], KINDS),
    'Errors of the system keep its own code (EACCES, ENOENT, ENOSPC and others).',
    ...ERROR_GROUPS.map(([title, codes]) => [`## ${title}`, ...Object.entries(codes).map(([name, facts]) => entry(name, facts))].join('\n\n')))
}

function entry (name: string, { kinds, cause, fix }: CodeFacts): string {
  const exit = exitCodeOf({ code: name })
  return `### ${name}\n\n${cause}\n\n**Do:** ${fix}\n\n*${kinds.join(', ')}${kinds.includes('error') && exit !== 1 ? `; exit ${exit}` : ''}*`
}
