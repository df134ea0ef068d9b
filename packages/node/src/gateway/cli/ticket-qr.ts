/**
 * A ticket as a QR code, two modules to a character cell. Upper case, since the alphanumeric mode takes 5.5 bits a character where
 * bytes take 8; a ticket is read in any case. With as many of the ticket's addresses as the terminal has room for.
 */
import { formatTicket, parseTicket } from '@elder-node/protocol'
import { nodeCrypto } from '../../adapters/crypto.ts'

export interface Room { columns: number, rows: number }
/** `lines` when it fits; else what the smallest form needs. */
export type TicketQr = { lines: string[] } | { needs: Room }

/** Black on white whatever the theme: a camera needs the contrast, and light around the code. */
const INK = '\u001b[38;5;16;48;5;231m'
const END = '\u001b[0m'
const MARGIN = 1

export async function ticketQr (ticket: string, room: Room): Promise<TicketQr> {
  const { encode } = await import('uqr')
  let needs: Room = { columns: 0, rows: 0 }
  for (const text of forms(ticket)) {
    const { data, size } = encode(text.toUpperCase(), { ecc: 'L', border: MARGIN })
    needs = { columns: size, rows: Math.ceil(size / 2) }
    if (needs.columns <= room.columns && needs.rows <= room.rows) return { lines: halves(data) }
  }
  return { needs }
}

/** The same ticket with fewer and fewer addresses: nobody signed those. This machine's own loopback goes first. */
function forms (text: string): string[] {
  const ticket = parseTicket(text, -Infinity, nodeCrypto())
  const addresses = ticket.addresses.toSorted((a, b) => Number(isLoopback(a)) - Number(isLoopback(b)))
  return addresses.map((_, i) => formatTicket({ ...ticket, addresses: addresses.slice(0, addresses.length - i) }, nodeCrypto()))
}

function isLoopback (address: string): boolean { return /^\/(ip4\/127\.|ip6\/::1\/)/.test(address) }

function halves (modules: boolean[][]): string[] {
  return modules.flatMap((upper, y) => y % 2 === 1 ? [] : [`${INK}${upper.map((dark, x) => glyph(dark, modules[y + 1]?.[x] ?? false)).join('')}${END}`])
}

function glyph (upper: boolean, lower: boolean): string { return upper ? lower ? '█' : '▀' : lower ? '▄' : ' ' }
