/** A data directory that lost a file or a bit: a real node starts with what is left, or names the file and what to do. */
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Lab, expectRefusal } from './support.ts'
import type { Node } from './support.ts'

const lab = new Lab()
let desk: Node
let pi: Node
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  desk = await lab.join('desk')
  pi = await lab.admit('pi', desk)
  await pi.note('kept', 'before')
  await pi.stop()
})

const at = (path: string): string => join(pi.dir, path)
const flip = (path: string, byte: number): void => { writeFileSync(path, readFileSync(path).map((value, i) => i === byte ? value ^ 4 : value)) }
const codes = async (node: Node): Promise<string[]> => (await node.status()).problems.map(({ code }) => code)

/** The file is put back afterwards. */
async function refusedWith (path: string, damage: (path: string) => void): Promise<Awaited<ReturnType<Lab['refused']>>> {
  const kept = join(lab.temp, 'kept')
  copyFileSync(path, kept)
  damage(path)
  const refused = await lab.refused('pi')
  renameSync(kept, path)
  return refused
}

test('one bit of the key, of mesh.cbor, or either of them gone: named, and no other mesh is founded', async () => {
  const [key, mesh] = [at('device.key'), at('mesh/mesh.cbor')]
  expectRefusal(await refusedWith(key, path => { flip(path, 30) }), 1, { code: 'KEY_DAMAGED', names: key, fix: /backup/ })
  expectRefusal(await refusedWith(key, rmSync), 1, { code: 'KEY_MISSING', names: key, fix: /backup/ })
  expectRefusal(await refusedWith(mesh, path => { flip(path, 40) }), 1, { code: 'MESH_DAMAGED', names: mesh, fix: /backup/ })
  expectRefusal(await refusedWith(mesh, rmSync), 1, { code: 'MESH_MISSING', names: mesh, fix: /elder-node invite/ })
  expectRefusal(await refusedWith(key, path => { writeFileSync(path, Buffer.alloc(32, 7)) }), 1, { code: 'STORE_OLD', names: pi.dir, fix: /aside/ })
})

test('a damaged roster: the device is a member still, and what is missing comes back from the mesh', async () => {
  const roster = at('mesh/roster.log')
  const damaged = readFileSync(roster).map((byte, i) => i === 50 ? byte ^ 4 : byte)
  writeFileSync(roster, damaged)
  await desk.stop()
  await pi.start()
  expect(await codes(pi)).toContain('ROSTER_DAMAGED')
  const aside = readdirSync(at('mesh')).find(name => name.startsWith('roster.log.damaged-')) as string
  expect(readFileSync(at(`mesh/${aside}`))).toEqual(Buffer.from(damaged))
  await desk.start()
  await pi.sees('desk', 'pi')
  await expect.poll(() => codes(pi)).not.toContain('ROSTER_DAMAGED')
  await pi.stop()
})

test('the name of a stack is gone: its notes are there once somebody says the name', async () => {
  await desk.stop()
  const file = readdirSync(at('stacks')).map(folder => at(`stacks/${folder}/stack.cbor`)).find(path => readFileSync(path, 'latin1').includes('kept')) as string
  rmSync(file)
  await pi.start()
  expect(await codes(pi)).toContain('STACK_NAMELESS')
  expect(await pi.titles('kept')).toEqual(['before'])
  expect(await codes(pi)).not.toContain('STACK_NAMELESS')
  await pi.stop()
})
