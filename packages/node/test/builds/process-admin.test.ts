/** Who must say that builds are trusted, before they run as the user of a node. */
import { expect, test } from 'vitest'
import { demandTrust, distrust, type TrustInit } from '../../src/services/builds/process-admin.ts'

const AS_NODE: TrustInit = { asNode: true, slots: undefined, trusted: false }

test('an admin whose builds run as itself; nobody else', () => {
  expect(distrust(AS_NODE, 'admin')).toMatch(/admin/)
  expect(() => { demandTrust(AS_NODE, 'admin') }).toThrow(expect.objectContaining({ code: 'PROCESS_ADMIN', fix: expect.stringContaining('--trust-builds') as string }) as Error)
  for (const [init, role] of [[AS_NODE, 'builder'], [AS_NODE, undefined], [{ ...AS_NODE, asNode: false }, 'admin'], [{ ...AS_NODE, trusted: true }, 'admin'], [{ ...AS_NODE, slots: 0 }, 'admin']] as const) {
    expect(distrust(init, role)).toBeUndefined()
    expect(() => { demandTrust(init, role) }).not.toThrow()
  }
})
