/** The ticket that `join` was given: as a word, in a file, on standard input, or pasted at the prompt. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ElderError, LIMITS, codeOf, parseTicket } from '@elder-node/protocol'
import { nodeCrypto } from '../../adapters/crypto.ts'
import { readInput } from './input.ts'
import type { Io } from './io.ts'

/** Room for what people paste around a ticket: quotes, the whole command, the document of `invite --json`. */
const PASTE_CHARS_MAX = 2 * LIMITS.ticketCharsMax + 1024
const INVITE = 'elder-node invite   (on a device of the mesh, as an admin)'

/** Undefined when none was given. @throws ElderError `USAGE`, `TICKET_MALFORMED`, `NO_SUCH_FILE`, or why `signal` aborted */
export async function readTicket (io: Io, { words = [], file, signal }: { words?: string[], file: string | undefined, signal: AbortSignal }): Promise<string | undefined> {
  if (words.length > 0 && file !== undefined) throw new ElderError('USAGE', 'a ticket and a ticket file are two tickets', 'Give one of them.')
  if (words.length > 0) return ofWords(io, words)
  if (file === undefined) return undefined
  return findTicket(await readInput(io, file, { bytesMax: PASTE_CHARS_MAX, hint: 'Paste the ticket', signal, complete, wrong }))
}

/** A ticket that was copied from a terminal comes with spaces in it. Its words are never printed: they are a secret. */
function ofWords ({ cwd }: Io, words: string[]): string {
  const [first = '', ...more] = words
  if (more.length === 0 && !/elder/i.test(first) && existsSync(resolve(cwd, first))) throw new ElderError('USAGE', `"${first}" is a file, not a ticket`, `elder-node join --ticket-file ${first}`)
  return findTicket(words.join(''))
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

/** At a prompt: what is said of lines that cannot become a ticket. */
function wrong (text: string): string | undefined {
  const bare = text.replace(/[\s"'`]+/g, '')
  return bare.length < 6 || /elder1/i.test(bare) ? undefined : 'That is no ticket: it begins with elder1. Paste all of it, or press Ctrl-C:'
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
