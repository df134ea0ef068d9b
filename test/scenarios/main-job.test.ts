/** The main job, told by three processes: a laptop without slots, a mini PC with two, a Pi with one. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Lab, expectRefusal, freshMark, marked, must, project, until } from './support.ts'
import type { Command, Digest, Elected, Node, Result } from './support.ts'

const lab = new Lab()
let laptop: Node
let mini: Node
let pi: Node
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  laptop = await lab.join('laptop')
  ;[mini, pi] = await Promise.all([lab.admit('mini', laptop, { slots: 2 }), lab.admit('pi', laptop, { slots: 1 })])
  for (const node of [laptop, mini, pi]) await node.sees('laptop', 'mini', 'pi')
})

const nodes = (): Node[] => [laptop, mini, pi]
const electedOf = (build: Command): Elected | undefined => build.events.findLast(event => event.event === 'elected')
const resultOf = (build: Command): Result => must(build.events.findLast(event => event.event === 'result'), `the build ends with a result: ${build.stdout}${build.stderr}`)
const byId = (id: string | undefined): Node => must(nodes().find(node => node.id === id), `${id} is one of the three`)

async function oneDigest (stack: string, titles: string[]): Promise<void> {
  await until(`every device holds ${titles.join(', ')}`, async () => {
    if ((await Promise.all(nodes().map(node => node.digest(stack)))).includes(undefined)) return false
    return (await Promise.all(nodes().map(node => node.entries(stack)))).every(({ length }) => length === titles.length)
  })
  const [first, ...others] = await Promise.all(nodes().map(node => node.ask<Digest>('stack', 'digest', stack)))
  for (const other of others) expect({ digest: other.digest, feeds: other.feeds }).toEqual({ digest: first?.digest, feeds: first?.feeds })
  for (const node of nodes()) expect(await node.titles(stack)).toEqual(titles.toSorted())
}

test('status on each device shows all three online, with round trips and free slots', async () => {
  for (const node of nodes()) {
    const { devices, mesh, problems } = await node.status()
    expect(mesh.id).toBe(laptop.ready.mesh.id)
    expect(problems.filter(({ code }) => code !== 'DISK_LOW')).toEqual([])
    expect(Object.fromEntries(devices.map(({ name, slots, online }) => [name, { ...slots, online }]))).toEqual({
      laptop: { total: 0, free: 0, online: true }, mini: { total: 2, free: 2, online: true }, pi: { total: 1, free: 1, online: true },
    })
    for (const device of devices) {
      expect(device.path).toBe(device.id === node.id ? 'self' : 'direct')
      expect(device.rttMs).toSatisfy((ms: number) => device.id === node.id ? ms === 0 : ms > 0 && ms < 10_000)
    }
  }
})

test('a build runs on the elected device and its outputs come back, byte for byte', async () => {
  const dir = project(lab, 'shop', { 'src/a.txt': 'committed\n', '.gitignore': 'secret\n' })
  writeFileSync(join(dir, 'src/a.txt'), 'modified\n')
  writeFileSync(join(dir, 'src/new.txt'), 'untracked\n')
  writeFileSync(join(dir, 'secret'), 'ignored\n')
  const to = join(lab.temp, 'shop-out')
  const script = 'test ! -e secret && mkdir -p dist/deep && cat src/a.txt src/new.txt > dist/deep/all.txt && printf "\\000\\377" > dist/raw.bin && echo built'
  const { code, command } = await lab.run(laptop.dir, ['build', dir, '--out', 'dist/**', '--to', to, '--strict-outputs', '--', 'sh', '-c', script])
  expect(code, command.stdout + command.stderr).toBe(0)
  expect(command.printed).toContain('built')

  const elected = must(electedOf(command), 'somebody was elected')
  expect(elected.candidates.map(({ device, refused }) => [device.name, refused === null]).sort()).toEqual([['laptop', false], ['mini', true], ['pi', true]])
  const result = resultOf(command)
  expect(result).toMatchObject({ state: 'done', exitCode: 0, attempt: 1, builder: elected.builder, error: null })
  expect([mini.id, pi.id]).toContain(result.builder?.id)

  const wanted = { 'dist/deep/all.txt': Buffer.from('modified\nuntracked\n'), 'dist/raw.bin': Buffer.of(0, 255) }
  expect(result.outputs.map(({ path }) => path).sort()).toEqual(Object.keys(wanted).sort())
  for (const [path, bytes] of Object.entries(wanted)) {
    expect(readFileSync(join(to, path))).toEqual(bytes)
    expect(result.outputs).toContainEqual({ path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') })
  }
  expect(existsSync(join(dir, 'dist')), 'with --to nothing is written into the source').toBe(false)
})

test('a failing command passes its exit code on, tried once', async () => {
  const { code, command } = await lab.run(laptop.dir, ['build', project(lab, 'fails', { a: 'a' }), '--', 'sh', '-c', 'echo said >&2; exit 7'])
  expect(code).toBe(7)
  expect(resultOf(command)).toMatchObject({ exitCode: 7, attempt: 1 })
  expect(command.events.filter(({ event }) => event === 'elected')).toHaveLength(1)
})

test('notes written on two devices at once meet on all three, and the digests are equal', async () => {
  await Promise.all([laptop.note('plans', 'from the laptop', 'one\n'), pi.note('plans', 'from the pi', 'two\n'), mini.ask('stack', 'add', 'plans', '--kind', 'decision', '--title', 'from the mini', '--body', '')])
  await oneDigest('plans', ['from the laptop', 'from the pi', 'from the mini'])
})

test('two devices that are apart edit one body: both edits stay when they meet', async () => {
  const id = await laptop.note('essay', 'draft', 'first line\nlast line\n')
  await oneDigest('essay', ['draft'])
  // Another device wrote the text: whoever changes it says which text it was made from.
  const { revision } = must((await pi.entries('essay'))[0], 'the note is on the pi')
  const edit = (body: string): string[] => ['stack', 'edit', 'essay', id, '--base', revision, '--body', body]
  await Promise.all([laptop.stop(), mini.stop()])
  await pi.ask(...edit('first line\nlast line, from the pi\n'))
  await pi.stop()
  await mini.start()
  await mini.ask(...edit('first line, from the mini\nlast line\n'))
  await Promise.all([laptop.start(), pi.start()])
  await until('both edits are everywhere', async () => {
    const bodies = await Promise.all(nodes().map(async node => (await node.entries('essay'))[0]?.body))
    return bodies.every(body => body === 'first line, from the mini\nlast line, from the pi\n')
  })
  await oneDigest('essay', ['draft'])
  for (const node of nodes()) await node.sees('laptop', 'mini', 'pi')
})

describe('a builder that is killed in the middle of a build', () => {
  test('the build moves and finishes elsewhere; nothing of the first attempt is left', async () => {
    const mark = freshMark()
    // `setsid`: a grandchild that leaves its session must die with its node all the same.
    const work = 'setsid sleep 600 & i=0; while [ $i -lt 15 ]; do i=$((i+1)); echo "step $i"; sleep 0.2; done; echo finished'
    const build = laptop.begin(['build', project(lab, 'long', { a: 'a' }), '--env', 'MARK', '--', 'sh', '-c', work, mark], { env: { MARK: mark } })
    await until('the build has begun', () => build.printed.includes('step 3'))
    const victim = byId(electedOf(build)?.builder.id)
    const first = await marked(mark, build)
    expect(first.length).toBeGreaterThan(1)

    await victim.kill()
    onTestFinished(async () => {
      await victim.start()
      for (const node of nodes()) await node.sees('laptop', 'mini', 'pi')
    })
    await until('every process of the first attempt is gone', async () => {
      const now = await marked(mark, build)
      return !first.some(pid => now.includes(pid))
    }, 10_000)

    expect(await build.exited, build.stdout + build.stderr).toBe(0)
    const moved = must(build.events.find(event => event.event === 'moved'), 'the build says that it moved')
    expect(moved).toMatchObject({ from: { id: victim.id, name: victim.name }, attempt: 1 })
    const result = resultOf(build)
    expect(result).toMatchObject({ state: 'done', exitCode: 0, attempt: 2 })
    expect(result.builder?.id).not.toBe(victim.id)
    expect(build.printed.match(/finished/g)).toHaveLength(1)
    await until('nothing carries the mark', async () => (await marked(mark)).length === 0, 10_000)
  })
})

describe('names and eviction', () => {
  let second: Node

  test('a second `mini` becomes mini-2, on every device', async () => {
    second = await lab.admit('mini', laptop, { slots: 0, dir: join(lab.temp, 'second-mini') })
    expect(second.ready.device.name).toBe('mini-2')
    for (const node of [...nodes(), second]) await node.sees('laptop', 'mini', 'mini-2', 'pi')
    expect(mini.ready.device.name).toBe('mini')
  })

  test('an evicted device that runs exits 1 with EVICTED; the others do not notice', async () => {
    const pids = nodes().map(node => node.pid)
    const plan = project(lab, 'plan', { a: 'a' })
    const candidates = async (): Promise<string> => JSON.stringify((await laptop.run('build', plan, '--dry-run', '--', 'true')).last)
    expect(await candidates()).toContain(second.id)
    await laptop.ask('evict', 'mini-2', '--yes')
    expect(await candidates()).not.toContain(second.id)
    const code = await until('the evicted node ends', () => second.process.running ? undefined : second.process.exited)
    expectRefusal({ code, command: second.process, last: second.process.last }, 1, { code: 'EVICTED', names: /evicted from the mesh "home"/, fix: /empty --dir and a new ticket/ })
    // Asked afterwards, it says what happened.
    expectRefusal(await second.run('status'), 1, { code: 'EVICTED', names: /evicted from the mesh "home" by laptop at \d{4}-/, fix: /empty --dir and a new ticket/ })
    for (const node of nodes()) await node.sees('laptop', 'mini', 'pi')
    expect(nodes().map(node => node.process.running && node.pid)).toEqual(pids)
    const build = await lab.run(laptop.dir, ['build', project(lab, 'after', { a: 'a' }), '--', 'echo', 'still'])
    expect(build.code).toBe(0)
  })

  test('its way back is refused with EVICTED: as the member it was, and with a new ticket', async () => {
    const again = await lab.refused('mini', { dir: second.dir })
    expectRefusal(again, 1, { code: 'EVICTED', names: /evicted from the mesh "home"/, fix: /new ticket/ })
    const ticket = await lab.refused('mini', { dir: second.dir, ticket: await laptop.ticket() })
    expectRefusal(ticket, 1, { code: 'EVICTED', names: /evicted from the mesh "home"/, fix: /new ticket/ })
    expect((await laptop.status()).devices.map(({ name }) => name).sort()).toEqual(['laptop', 'mini', 'pi'])
    expectRefusal(await laptop.run('evict', 'mini-2'), 1, { code: 'NO_SUCH_DEVICE', names: 'mini-2', fix: /elder-node devices/ })
    expect((await second.run('leave', '--force', '--yes')).last).toMatchObject({ schema: 'elder/leave.v1', offline: true })
  })
})
