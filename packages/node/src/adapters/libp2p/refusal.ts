/** A refusal at the door reaches the dialer as text only: libp2p keeps nothing but `message` of what an encrypter throws. */
import { isRefusalCode, type RefusalCode } from '@elder-node/protocol'

export function refusal (code: RefusalCode): Error { return new Error(`refused:${code}`) }

/** Looks inside an AggregateError too: that is what a dial to several addresses throws. */
export function refusalOf (error: unknown): RefusalCode | undefined {
  const code = /refused:([a-z-]+)/.exec((error as Error | null)?.message ?? '')?.[1]
  if (isRefusalCode(code)) return code
  if (!(error instanceof AggregateError)) return undefined
  return error.errors.map(refusalOf).find(found => found !== undefined)
}
