import { expect, test } from 'vitest'
import { formatRecovery, parseRecovery } from '../../src/index.ts'
import { crypto } from '../support/crypto.ts'

test('the recovery secret comes back as it was typed, and a slip is noticed', () => {
  const seed = crypto.sha256(Uint8Array.of(1))
  const text = formatRecovery(seed, crypto)
  expect(parseRecovery(` ${text.toUpperCase().slice(0, 30)}\n${text.slice(30)} `, crypto)).toEqual(seed)
  for (const bad of ['', text.slice(0, -1), `${text}a`, text.replace(/.$/, last => last === 'q' ? 'y' : 'q'), 'elder1aaaa']) {
    expect(() => parseRecovery(bad, crypto)).toThrow(expect.objectContaining({ code: 'RECOVERY_MALFORMED' }) as Error)
  }
})
