/** What a command says whose node ends under it because the device was shut out. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { dataDirAt } from '../../src/adapters/data-dir.ts'
import { serveControl, type ControlServer } from '../../src/gateway/control-server.ts'
import { Desk } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { untilCancelled } from '../support/fake-node.ts'
import { TestMesh, type TestNode } from '../support/membership.ts'

let desk: Desk
let server: ControlServer
beforeEach(async () => {
  desk = new Desk()
  desk.node.script = untilCancelled
  server = await serveControl(desk.node, desk.socket)
})
afterEach(async () => {
  await server.close()
  await desk[Symbol.asyncDispose]()
})

/** As the node of that device has them on disk. */
function keep ({ files }: TestNode): void {
  for (const [name, bytes] of files.contents) {
    const path = join(dataDirAt(desk.dir).mesh, name)
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, bytes, { mode: 0o600 })
  }
}

test('a running build ends with EVICTED', async () => {
  const mesh = new TestMesh()
  const founder = await mesh.node('mini')
  const pi = await mesh.joined(founder, 'pi')
  const running = desk.run(['build', '--json', '--', 'make'])
  await eventually(() => { expect(desk.node.requests).toHaveLength(1) })
  await founder.membership.evict(pi.device)
  // It is told at the next door.
  await mesh.connect(pi, founder).catch(() => {})
  await pi.membership.evicted
  keep(pi)
  await server.close()
  const { code, json } = await running
  const message = expect.stringContaining('by mini') as string
  expect(json().at(-1)).toMatchObject({ error: { code: 'EVICTED', message } })
  expect(code).toBe(125)
})

test('a node that went away for another reason is only not running', async () => {
  const mesh = new TestMesh()
  keep(await mesh.node('mini'))
  const running = desk.run(['build', '--json', '--', 'make'])
  await eventually(() => { expect(desk.node.requests).toHaveLength(1) })
  await server.close()
  expect((await running).json().at(-1)).toMatchObject({ error: { code: 'NOT_RUNNING' } })
})
