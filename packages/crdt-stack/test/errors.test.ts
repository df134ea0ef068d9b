/** Refusals that no other test of this package meets, each by its code. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { LIMITS, toHex, type VectorEntry } from '@elder-node/protocol'
import { audit, type AuditInit } from '../src/audit.ts'
import { serveGit } from '../src/git/index.ts'
import { createDevice, crypto, STACK } from './support.ts'

const temp = mkdtempSync(join(tmpdir(), 'elder-errors-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })

it('an agent without a name, or with one that is too long: AGENT_NAME, and nothing is written', async () => {
  const stack = await createDevice().open()
  for (const agent of ['', 'x'.repeat(65)]) await expect(stack.add({ kind: 'note', title: 't' }, { agent })).rejects.toMatchObject({ code: 'AGENT_NAME' })
  expect(stack.entries()).toEqual([])
})

it('a write to a stack that was opened read-only: READ_ONLY', async () => {
  const stack = await createDevice().open({ readonly: true })
  await expect(stack.add({ kind: 'note', title: 't' })).rejects.toMatchObject({ code: 'READ_ONLY' })
})

it('a disk that holds less than was acknowledged, or something else than is shown: FEED_SHORT, VIEW_DIFFERS', async () => {
  const stack = await createDevice().open()
  const empty: Omit<AuditInit, 'names'> = { id: STACK, crypto, headsMax: LIMITS.headsPerDeviceMax, cuts: new Map(), stored: { batches: [], damaged: [] }, live: stack.digest() }
  await stack.add({ kind: 'note', title: 't' })
  const { feed, seq, hash } = stack.vector()[0] as VectorEntry
  expect((await audit({ ...empty, names: [{ feed, seq, name: toHex(hash) }] })).problems).toMatchObject([{ code: 'FEED_SHORT', feed }])
  expect((await audit({ ...empty, names: [] })).problems).toEqual([])
  expect((await audit({ ...empty, names: [], live: stack.digest() })).problems).toMatchObject([{ code: 'VIEW_DIFFERS' }])
})

it('a git server whose port is taken, and a repository that cannot be called so: GIT_SERVER', async () => {
  const server = await serveGit({ root: temp })
  try {
    await expect(serveGit({ root: temp, port: server.port })).rejects.toMatchObject({ code: 'GIT_SERVER' })
    await expect(server.create('../outside')).rejects.toMatchObject({ code: 'GIT_SERVER' })
  } finally {
    await server.close()
  }
})
