/** Each address of a device by itself, so that a person sees which of them fails, and how. */
import type { DeviceId } from '@elder-node/protocol'
import type { Tried } from '../../ports/mesh.ts'
import { refusalOf } from './refusal.ts'

/** One address: as long as a dial gives it. */
const EACH_MS = 3_000

/** In turn: dials to one device at once are one dial for libp2p. Never rejects. */
export async function tryAddresses (device: DeviceId, addresses: string[], dial: (device: DeviceId, addresses: string[], signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<Tried[]> {
  const tried: Tried[] = []
  for (const address of addresses) {
    if (signal.aborted) break
    const late = AbortSignal.timeout(EACH_MS)
    const error = await dial(device, [address], AbortSignal.any([signal, late])).then(() => null, (reason: unknown) => late.aborted ? `no answer within ${EACH_MS / 1000} s` : inWords(reason))
    tried.push({ address, error })
    if (error === null) break
  }
  return tried
}

/** libp2p wraps what happened, once per address. */
function inWords (error: unknown): string {
  const refusal = refusalOf(error)
  if (refusal !== undefined) return `its door said: ${refusal}`
  const inner = error instanceof AggregateError ? error.errors[0] as unknown : error
  const text = inner instanceof Error ? inner.message : String(inner)
  if (text.includes('ECONNREFUSED')) return 'connection refused: nothing listens there'
  if (/EHOSTUNREACH|ENETUNREACH/.test(text)) return 'no route to that address'
  if (text.includes('ETIMEDOUT')) return 'no answer'
  return text.split('\n', 1)[0] ?? ''
}
