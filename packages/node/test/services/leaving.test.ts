import { expect, test, vi } from 'vitest'
import type { StackStatus } from '../../src/api.ts'
import { leave } from '../../src/services/leaving.ts'
import type { LeavingComponents } from '../../src/services/leaving.ts'
import { eventually } from '../support/eventually.ts'
import { TestMesh } from '../support/membership.ts'
import type { TestNode } from '../support/membership.ts'

const throwing = (code: string): Error => expect.objectContaining({ code }) as Error
const notes = (over: Partial<StackStatus> = {}): StackStatus => ({ name: 'notes', entries: 1, copies: 1, mirrors: [], archived: false, ...over })
const parts = ({ mesh, membership }: TestNode, over: Partial<LeavingComponents> = {}): LeavingComponents => ({ mesh, membership, stacks: () => [], exchange: async () => undefined, push: async () => undefined, ...over })
const quick = { handoverMs: 50 }

async function pair (): Promise<{ mesh: TestMesh, founder: TestNode, pi: TestNode }> {
  const mesh = new TestMesh()
  const founder = await mesh.node('mini')
  const pi = await mesh.joined(founder, 'pi')
  await eventually(() => { expect(founder.membership.roster.members.size).toBe(2) })
  return { mesh, founder, pi }
}

test('a member goes; who is there knows', async () => {
  const { founder, pi } = await pair()
  expect(await leave(parts(pi), {}, quick)).toEqual({
    device: { id: pi.device, name: 'pi' }, mesh: { id: founder.membership.meshId, name: 'home' }, told: [{ id: founder.device, name: 'mini' }], lost: [],
  })
  expect(founder.membership.role(pi.device)).toBeUndefined()
})

test('the last admin stays, alone or not, and the fix names a way; another admin makes it free', async () => {
  const { founder, pi } = await pair()
  await expect(leave(parts(founder), {}, quick)).rejects.toMatchObject({ code: 'LAST_ADMIN', fix: expect.stringContaining('devices promote pi') as string })
  const alone = await new TestMesh().node('mini')
  await expect(leave(parts(alone), {}, quick)).rejects.toMatchObject({ code: 'LAST_ADMIN', message: expect.stringContaining('only device') as string })
  founder.membership.promote('pi')
  await eventually(() => { expect(pi.membership.role(pi.device)).toBe('admin') })
  await leave(parts(founder), {}, quick)
  expect([...pi.membership.roster.members.keys()]).toEqual([pi.device])
})

test('waits until others hold what is only here: an exchange, a push; then goes', async () => {
  const { pi } = await pair()
  let stacks = [notes(), notes({ name: 'mirrored', mirrors: [{ url: 'u', state: 'behind', lastPush: null, message: null }] })]
  const done: string[] = []
  const departure = await leave(parts(pi, {
    stacks: () => stacks,
    exchange: async () => { done.push('exchange'); stacks = stacks.map(stack => stack.name === 'notes' ? notes({ copies: 2 }) : stack) },
    push: async name => { done.push(`push ${name}`); stacks = stacks.map(stack => stack.name === name ? { ...stack, mirrors: [{ url: 'u', state: 'ok', lastPush: null, message: null }] } : stack) },
  }), {}, { handoverMs: 30_000 })
  expect(done.toSorted()).toEqual(['exchange', 'push mirrored'])
  expect(departure.lost).toEqual([])
})

test('stacks that stay only here are listed and nothing happens; force goes and says what is lost', async () => {
  const { founder, pi } = await pair()
  const only = parts(pi, { stacks: () => [notes(), notes({ name: 'empty', entries: 0 })] })
  await expect(leave(only, {}, quick)).rejects.toMatchObject({ code: 'ONLY_COPY', data: { stacks: ['notes'] } })
  expect(founder.membership.role(pi.device)).toBe('builder')
  expect((await leave(only, { force: true }, quick)).lost).toEqual(['notes'])
  expect(founder.membership.role(pi.device)).toBeUndefined()
})

test('with nobody online only force goes; a caller that went away leaves it a member', async () => {
  const { mesh, founder, pi } = await pair()
  const gone = new AbortController()
  gone.abort(new Error('the caller went away'))
  await expect(leave(parts(pi), { signal: gone.signal }, quick)).rejects.toThrow('the caller went away')
  mesh.network.disconnect(pi.device, founder.device)
  await expect(leave(parts(pi), {}, quick)).rejects.toThrow(throwing('NOBODY_TOLD'))
  expect(pi.membership.me?.name).toBe('pi')
  expect((await leave(parts(pi), { force: true }, quick)).told).toEqual([])
})

test('a device that is connected and does not answer is nobody: without force nothing happened', async () => {
  const { mesh, pi } = await pair()
  // Frozen: its kernel keeps the connection.
  const frozen = vi.spyOn(mesh.network, 'carry').mockImplementation(() => {})
  const leaving = leave(parts(pi), {}, { ...quick, answerMs: 50 })
  await expect(leaving).rejects.toThrow(throwing('NOBODY_TOLD'))
  expect(pi.membership.me?.name).toBe('pi')
  frozen.mockRestore()
})

test('told is who answered, not whose connection ended', async () => {
  const { mesh, founder, pi } = await pair()
  const frozen = vi.spyOn(mesh.network, 'carry').mockImplementation(() => {})
  const left = pi.membership.leave()
  mesh.network.disconnect(pi.device, founder.device)
  expect(await left).toEqual([])
  expect(founder.membership.role(pi.device)).toBe('builder')
  frozen.mockRestore()
})

test('who hears of it from another first knows as well', async () => {
  const { mesh, founder, pi } = await pair()
  const laptop = await mesh.joined(founder, 'laptop')
  await mesh.connect(laptop, pi)
  await eventually(() => { expect(pi.mesh.peers()).toHaveLength(2) })
  expect((await pi.membership.leave()).toSorted()).toEqual([founder.device, laptop.device].toSorted())
})
