/** Hostile builds on a real builder while a good one runs beside them: what their requesters read, and the builder afterwards. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { needs } from '../../packages/node/test/support/when.ts'
import { findControllers } from '../../packages/node/src/adapters/engine-process/cgroup.ts'
import { freshMark, Lab, marked, must, project, until, type Command, type Node } from '../scenarios/support.ts'

const names = process.platform === 'linux' && process.getuid?.() === 0 ? (await findControllers('elder-node-hostile-mesh')).map(({ name }) => name) : []
const here = needs(names.includes('memory') && names.includes('pids'), 'root on Linux with cgroups: without them the process engine limits single processes')
const MB = 2 ** 20

describe.runIf(here)('a hostile build beside a good one', { timeout: 180_000 }, () => {
  const lab = new Lab()
  let desk: Node
  let mini: Node
  let dir: string
  afterAll(() => lab[Symbol.asyncDispose]())
  beforeAll(async () => {
    desk = await lab.join('desk')
    mini = await lab.admit('mini', desk, { slots: 2 })
    await desk.sees('mini', 'desk')
    dir = project(lab, 'project', { 'a.txt': 'a\n' })
  })

  const resident = (node: Node): number => 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${must(node.pid, 'it runs')}/status`, 'utf8'))?.[1])

  /** A build that works until the file is there. */
  async function good (): Promise<{ end: () => Promise<void> }> {
    const build = desk.begin(['build', dir, '--on', 'mini', '--', 'sh', '-c', 'i=0; while [ $i -lt 40 ]; do i=$((i+1)); cat a.txt > copy; sleep 0.05; done; echo begun; i=0; while [ $i -lt 60 ]; do i=$((i+1)); cat copy > a.txt; sleep 0.05; done; cat a.txt'])
    await until('the good build runs', () => build.events.some(event => event.event === 'progress' && event.phase === 'running'))
    return {
      end: async () => {
        expect(await build.exited, build.stdout).toBe(0)
        expect(build.printed).toBe('begun\na\n')
      },
    }
  }

  /** As a person runs it: no JSON. */
  const person = (words: string[]): Command => lab.spawn(['build', dir, '--on', 'mini', '--no-input', '--dir', desk.dir, ...words])

  async function wellAfter (): Promise<void> {
    await until('both slots are free', async () => (await desk.call('devices', {})).find(({ name }) => name === 'mini')?.slots.free === 2)
    const { devices } = await desk.call('status', {})
    expect(devices.find(({ name }) => name === 'mini')).toMatchObject({ online: true, slots: { total: 2, free: 2 } })
  }

  test.each<[string, string[], string, number, RegExp[]]>([
    ['uses more memory than it asked for', ['--memory', '64m'], 'head -c 300000000 /dev/zero | tail -c 200000000 > /dev/null; sleep 1; exit 137', 137, [/killed: used more than 64 MB of memory on mini, the limit that was asked for/, /--memory 128m/]],
    ['starts processes without end', [], 'b() { b | b & }; b; sleep 3; wait; exit 1', 1, [/no more than \d+ processes and threads on mini/, /make -j4/]],
    ['does not end', ['--deadline', '2s'], 'trap "" TERM INT; while :; do sleep 1; done', 124, [/deadline of 2 s that --deadline set/]],
  ])('%s', async (_what, flags, script, exitCode, says) => {
    const mark = freshMark()
    const other = await good()
    const build = person([...flags, '--', 'sh', '-c', script, mark])
    expect(await build.exited, build.stderr).not.toBe(0)
    if (exitCode !== 1) expect(await build.exited).toBe(exitCode)
    for (const words of says) expect(build.stderr).toMatch(words)
    await until('nothing of it is left', async () => (await marked(mark, build)).length === 0)
    await other.end()
    await wellAfter()
    const id = must((await desk.call('builds.list', {})).findLast(({ command }) => command.includes(mark)), 'the build is listed').id
    const why = lab.spawn(['builds', 'why', id, '--dir', desk.dir])
    expect(await why.exited).toBe(0)
    expect(why.stdout.replace(/\s+/g, ' ')).toMatch(must(says[0], 'a sentence'))
    const told = await desk.ask<{ ended: { state: string, reason: string } }>('builds', 'why', id)
    expect(told.ended).toMatchObject({ state: 'failed', reason: _what.includes('memory') ? 'memory' : _what.includes('processes') ? 'pids' : 'deadline' })
  })

  test('prints a gigabyte: neither node keeps it, and what was kept can be read', async () => {
    const other = await good()
    const before = { desk: resident(desk), mini: resident(mini) }
    const { last } = await lab.run(desk.dir, ['build', dir, '--on', 'mini', '--detach', '--', 'sh', '-c', 'echo first; yes 0123456789 | head -c 1000000000; echo; echo last'])
    const id = String(last?.['build'])
    let most = { desk: 0, mini: 0 }
    await until('it ends', async () => {
      most = { desk: Math.max(most.desk, resident(desk) - before.desk), mini: Math.max(most.mini, resident(mini) - before.mini) }
      return (await desk.call('builds.list', {})).find(build => build.id === id)?.state === 'done'
    }, 120_000)
    console.info(`a gigabyte of log: desk +${Math.round(most.desk / MB)} MB, mini +${Math.round(most.mini / MB)} MB at most`)
    expect(most.desk).toBeLessThan(400 * MB)
    expect(most.mini).toBeLessThan(400 * MB)
    await other.end()
    const logs = lab.spawn(['builds', 'attach', id, '--dir', desk.dir])
    expect(await logs.exited).toBe(0)
    expect(logs.stdout.startsWith('first\n')).toBe(true)
    expect(logs.stdout.slice(-200), `${logs.stdout.length} characters; ${logs.stderr.slice(-500)}`).toMatch(/last\n$/)
    expect(logs.stdout.length).toBeLessThan(64 * MB)
    const again = lab.spawn(['builds', 'logs', id, '--dir', desk.dir])
    expect(await again.exited).toBe(0)
    expect(again.stdout.length).toBe(logs.stdout.length)
    await wellAfter()
  })
})
