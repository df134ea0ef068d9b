/** Why a door said no, as it travels: `{no: code, proof?}` at the door, `{no: code}` from the `join` service. */
export const REFUSAL_CODES = [
  'not-a-member', 'revoked', 'expired', 'used', 'forged', 'proof', 'wrong-mesh', 'not-issuer', 'issuer-unreachable', 'busy', 'version',
] as const

export type RefusalCode = typeof REFUSAL_CODES[number]

export function isRefusalCode (value: unknown): value is RefusalCode {
  return (REFUSAL_CODES as readonly unknown[]).includes(value)
}
