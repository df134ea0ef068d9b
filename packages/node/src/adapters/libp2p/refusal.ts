/** A refusal at the door reaches the dialer as text only: libp2p keeps nothing but `message` of what an encrypter throws. */
import type { RefusalCode } from '../../ports/admission.ts'

const CODES: readonly RefusalCode[] = [
  'not-a-member', 'revoked', 'expired', 'used', 'forged', 'proof', 'wrong-mesh', 'not-issuer', 'issuer-unreachable', 'busy', 'version',
]

export function isRefusalCode (value: unknown): value is RefusalCode {
  return CODES.includes(value as RefusalCode)
}

export function refusal (code: RefusalCode): Error { return new Error(`refused:${code}`) }

/** Looks inside an AggregateError too: that is what a dial to several addresses throws. */
export function refusalOf (error: unknown): RefusalCode | undefined {
  const code = /refused:([a-z-]+)/.exec((error as Error | null)?.message ?? '')?.[1]
  if (isRefusalCode(code)) return code
  if (!(error instanceof AggregateError)) return undefined
  return error.errors.map(refusalOf).find(found => found !== undefined)
}
