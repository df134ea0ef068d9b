/** The ticket that `join` was given: as a word, in a file, on standard input, or pasted at the prompt. */
import { ElderError, LIMITS, codeOf, parseTicket } from '@elder-node/protocol'
import { nodeCrypto } from '../../adapters/crypto.ts'
import { readInput } from './input.ts'
import type { Io } from './io.ts'

/** Room for what people paste around a ticket: quotes, the whole command, the document of `invite --json`. */
const PASTE_CHARS_MAX = 2 * LIMITS.ticketCharsMax + 1024
const INVITE = 'elder-node invite   (on a device of the mesh, as an admin)'

/** Undefined when none was given. @throws ElderError `USAGE`, `TICKET_MALFORMED`, `NO_SUCH_FILE`, or why `signal` aborted */
export async function readTicket (io: Io, { word, file, signal }: { word: string | undefined, file: string | undefined, signal: AbortSignal }): Promise<string | undefined> {
  if (word !== undefined && file !== undefined) throw new ElderError('USAGE', 'a ticket and a ticket file are two tickets', 'Give one of them.')
  if (word !== undefined) return findTicket(word)
  if (file === undefined) return undefined
  return findTicket(await readInput(io, file, { bytesMax: PASTE_CHARS_MAX, hint: 'Paste the ticket', signal, complete }))
}

/** The ticket in a text, whatever a mail client or a shell put around and into it. @throws ElderError `TICKET_MALFORMED` */
export function findTicket (text: string): string {
  const found = /elder1[a-z2-7]+/i.exec(text.replace(/[\s"'`]+/g, ''))
  if (found !== null) return found[0].toLowerCase()
  if (text.trim() === '') throw new ElderError('TICKET_MALFORMED', 'the ticket is empty', INVITE)
  if (text.includes('elder-recovery1')) throw new ElderError('TICKET_MALFORMED', 'that is a recovery text, not a ticket: keep it away from devices', INVITE)
  throw new ElderError('TICKET_MALFORMED', 'that is not a ticket: a ticket begins with elder1', INVITE)
}

/** At a prompt: true once the whole ticket has been pasted, however many lines it came in. */
function complete (text: string): boolean {
  try {
    parseTicket(findTicket(text), Date.now(), nodeCrypto())
    return true
  } catch (error) {
    // Expired or forged is complete too, and is said where it is redeemed.
    return codeOf(error) !== 'TICKET_MALFORMED'
  }
}

/** Host and port of every address in a ticket, for people; none of a ticket that does not read. */
export function doorsOf (ticket: string): string[] {
  try {
    return parseTicket(ticket, -Infinity, nodeCrypto()).addresses.map((address) => {
      const [, kind, host = '', , port = ''] = address.split('/')
      return kind === 'ip6' ? `[${host}]:${port}` : `${host}:${port}`
    })
  } catch {
    // Whoever redeems it says why.
    return ['the mesh']
  }
}
