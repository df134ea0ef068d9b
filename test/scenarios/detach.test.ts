/** `join --detach`: a node that outlives the command that started it, and failures that reach whoever asked. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Lab } from './support.ts'
import type { Ready } from './support.ts'

const FLAGS = ['--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--engine', 'none']

/** Condition instead of sleep: a node may take its time to stop. */
async function gone (pid: number): Promise<void> {
  await expect.poll(() => {
    try { return process.kill(pid, 0) } catch { return false }
  }, { timeout: 30_000 }).toBe(false)
}

test('returns at ready, the node goes on in its own session, and ends at a signal', async () => {
  await using lab = new Lab()
  const dir = join(lab.temp, 'alone')
  const { code, last } = await lab.run(dir, ['join', '--detach', '--name', 'alone', ...FLAGS])
  const ready = last as unknown as Ready & { pid: number }
  lab.later(() => { try { process.kill(ready.pid, 'SIGKILL') } catch { /* ended, as it should */ } })
  expect({ code, event: last?.event, name: ready.device.name }).toEqual({ code: 0, event: 'ready', name: 'alone' })

  const status = await lab.run(dir, ['status'])
  expect(status).toMatchObject({ code: 0, last: { self: { name: 'alone', pid: ready.pid } } })
  if (process.platform === 'linux') {
    expect(readFileSync(`/proc/${ready.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[3], 'leads a session of its own').toBe(String(ready.pid))
    expect(readFileSync(`/proc/${ready.pid}/cmdline`, 'utf8')).not.toContain('--detach')
  }

  const again = await lab.run(dir, ['join', '--detach', ...FLAGS])
  expect(again).toMatchObject({ code: 1, last: { error: { code: 'LOCKED', data: { pid: ready.pid } } } })
  process.kill(ready.pid, 'SIGTERM')
  await gone(ready.pid)
  expect((await lab.run(dir, ['status'])).code).toBe(4)
})

test('a failure before ready is reported with its error and its exit code', async () => {
  await using lab = new Lab()
  const founder = await lab.join('founder')
  const ticket = await founder.ticket()
  await founder.process.end('SIGKILL')
  const dir = join(lab.temp, 'late')
  const { code, last, command } = await lab.run(dir, ['join', '--detach', '--ticket-file', '-', '--timeout', '2s', ...FLAGS], { stdin: ticket })
  expect({ code, error: last?.error?.code }, command.stderr).toEqual({ code: 6, error: 'ADMISSION_TIMEOUT' })
  expect(existsSync(join(dir, 'lock'))).toBe(false)
  expect((await lab.run(dir, ['join', '--detach', '--engine', 'magic'])).last).toMatchObject({ error: { code: 'USAGE' } })
})
