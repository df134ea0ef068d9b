/** `ping`: is it there, how far, and which way? */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { PingEvent } from '../../../api.ts'
import { parseCount, parseWait } from '../../../quantities.ts'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../failure.ts'

interface Options { count?: string, interval?: string, untilDirect?: true }

const COUNT_MAX = 1_000_000
/** A path is direct or not within the first half minute. */
const UNTIL_DIRECT_COUNT = 30

export function register (command: Command, { act }: Kit): void {
  command
    .argument('<device>', 'name or id prefix')
    .option('-c, --count <n>', 'round trips (default: 5)')
    .option('-i, --interval <duration>', 'from one to the next (default: 1s)')
    .option('--until-direct', 'go on until no relay is between; exit 1 when there still is one')
    .addHelpText('after', `
Each line: the round trip, the path (direct, or the member that passes it on),
the address.

Examples:
  elder-node ping mini
  elder-node ping mini --count 100 --interval 100ms
  elder-node ping mini --until-direct --count 60
  elder-node ping mini --json | jq 'select(.event == "pong").rttMs'`)
    .action(act(ping))
}

async function ping (context: Context, { count, interval, untilDirect }: Options, [device = '']: string[]): Promise<number> {
  const { client, output, signal } = context
  const wanted = count === undefined ? untilDirect === true ? UNTIL_DIRECT_COUNT : undefined : parseCount(count, { min: 1, integer: true })
  if (wanted !== undefined && wanted > COUNT_MAX) throw new ElderError('USAGE', `${count} round trips are more than ${COUNT_MAX}`, 'Give less.')
  const stopped = new AbortController()
  context.takeInterrupts(() => stopped.abort())
  const params = { device, ...(wanted === undefined ? {} : { count: wanted }), ...(interval === undefined ? {} : { intervalMs: parseWait(interval) }) }
  const tally = new Tally()
  try {
    for await (const event of client.stream('ping', params, { signal: AbortSignal.any([signal, stopped.signal]) })) {
      tally.add(event)
      if (output.json) output.document('ping', event)
      else output.line(lineOf(event, context))
      if (untilDirect === true && event.event === 'pong' && event.path === 'direct') break
    }
  } catch (error) {
    if (!stopped.signal.aborted) throw error
  }
  output.answer('ping', tally.document(), () => tally.line())
  if (untilDirect === true && tally.path !== 'direct') throw new ElderError('NOT_DIRECT', `every answer of ${device} came through a relay`, 'Forward a port to one of the two, and say so there: elder-node config set announce <multiaddr>')
  return tally.received > 0 ? EXIT.ok : EXIT.error
}

function lineOf (event: PingEvent, { output }: Context): string {
  const name = output.paint('bold', plain(event.device.name))
  if (event.event === 'lost') return `${name}  ${event.seq}  ${output.paint('red', 'lost')}  ${plain(event.message)}`
  const path = event.path === 'direct' ? 'direct' : output.paint('yellow', `relay via ${plain(event.relay?.name ?? 'a member')}`)
  return `${name}  ${event.seq}  ${ms(event.rttMs)} ms  ${path}  ${output.paint('dim', plain(event.address.replace(/\/p2p\/.*$/, '')))}`
}

/** Three digits that mean something: 0.42, 12.3, 120. */
function ms (value: number): string { return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0) }

/** What a series of round trips comes to. */
class Tally {
  sent = 0
  path: 'direct' | 'relay' | undefined
  readonly #rttsMs: number[] = []

  get received (): number { return this.#rttsMs.length }

  add (event: PingEvent): void {
    this.sent++
    if (event.event !== 'pong') return
    this.#rttsMs.push(event.rttMs)
    this.path = event.path
  }

  document (): object {
    const { sent, received } = this
    return { event: 'summary', sent, received, path: this.path ?? null, ...(received === 0 ? { minMs: null, avgMs: null, maxMs: null } : this.#figures()) }
  }

  line (): string {
    const { sent, received } = this
    const { minMs, avgMs, maxMs } = this.#figures()
    const lost = sent === 0 ? 0 : Math.round(100 * (sent - received) / sent)
    return `${sent} sent, ${received} received (${lost} % lost)${received === 0 ? '' : `, ms min ${ms(minMs)} avg ${ms(avgMs)} max ${ms(maxMs)}`}`
  }

  #figures (): { minMs: number, avgMs: number, maxMs: number } {
    const sum = this.#rttsMs.reduce((total, next) => total + next, 0)
    return { minMs: Math.min(...this.#rttsMs), avgMs: Math.round(1000 * sum / this.received) / 1000, maxMs: Math.max(...this.#rttsMs) }
  }
}
