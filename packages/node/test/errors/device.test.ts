/** Refusals of this machine that no other test meets, each by its code: sockets, addresses, tools, commands. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { runTool } from '../../src/adapters/run-tool.ts'
import { ControlClient } from '../../src/gateway/control-client.ts'
import { worktreeStack } from '../../src/gateway/cli/stack-name.ts'
import { poll } from '../../src/gateway/demo/poll.ts'
import { TestMesh } from '../libp2p/harness.ts'
import { Desk } from '../support/cli.ts'
import { needs } from '../support/when.ts'

const temp = mkdtempSync(join(tmpdir(), 'elder-errors-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })
afterEach(() => { vi.restoreAllMocks() })
const { signal } = new AbortController()
const platform = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor

test.runIf(needs(process.platform !== 'win32', 'folders that are closed to their user'))('the socket of another user\'s node: NOT_YOURS', async () => {
  const folder = join(temp, 'theirs')
  mkdirSync(folder)
  chmodSync(folder, 0)
  const asRoot = process.getuid?.() === 0
  if (asRoot) process.seteuid?.(65_534)
  try {
    const client = new ControlClient({ dir: folder, socket: join(folder, 'control.sock'), log: join(folder, 'node.log'), flag: '' })
    await expect(client.call('status', {}, { signal })).rejects.toMatchObject({ code: 'NOT_YOURS' })
  } finally {
    if (asRoot) process.seteuid?.(0)
    chmodSync(folder, 0o700)
  }
})

test('an address that is not this machine\'s: LISTEN_FAILED', async () => {
  // TEST-NET-3 of RFC 5737.
  await expect(new TestMesh().node({ listen: ['/ip4/203.0.113.7/tcp/0'] }).mesh.start()).rejects.toMatchObject({ code: 'LISTEN_FAILED' })
})

test('a tool that ends with an error: TOOL_FAILED, with what it said', async () => {
  await expect(runTool('/bin/sh', ['-c', 'echo no space >&2; exit 3'])).rejects.toMatchObject({ code: 'TOOL_FAILED', message: '/bin/sh ended with 3: no space' })
})

test('a stack file that names no stack: STACK_FILE', async () => {
  mkdirSync(join(temp, 'repo/.git'), { recursive: true })
  mkdirSync(join(temp, 'repo/.stack'))
  for (const text of ['{"stack":"No Name"}', '{}', 'null', 'not json']) {
    writeFileSync(join(temp, 'repo/.stack/stack.json'), text)
    await expect(worktreeStack(join(temp, 'repo'))).rejects.toMatchObject({ code: 'STACK_FILE' })
  }
})

test('a service where there is no systemd, or of the machine without its rights: SERVICE_UNSUPPORTED, NEEDS_ROOT', async () => {
  await using desk = new Desk()
  try {
    Object.defineProperty(process, 'platform', { value: 'darwin' })
    expect((await desk.run(['service', 'status', '--json'])).json()).toMatchObject([{ error: { code: 'SERVICE_UNSUPPORTED' } }])
  } finally {
    Object.defineProperty(process, 'platform', platform)
  }
  if (process.platform !== 'linux') return
  vi.spyOn(process, 'getuid').mockReturnValue(1000)
  expect((await desk.run(['service', 'remove', '--system', '--json'])).json()).toMatchObject([{ error: { code: 'NEEDS_ROOT' } }])
})

test('a step of the demo that does not come out in its time: DEMO_FAILED', async () => {
  await expect(poll(async () => undefined, { what: 'all are online', deadlineMs: 0, signal })).rejects.toMatchObject({ code: 'DEMO_FAILED', message: 'all are online: not within 0 s' })
})
