/**
 * A stack remembers the repository it was made for, on every device; nobody comes to another one without being told.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Office, TTY, type Seat } from '../support/memory-desk.ts'

const ONE = 'https://git.example.org/one/api.git'
const TWO = 'git@git.example.org:two/api.git'

let office: Office
let laptop: Seat
beforeEach(async () => { office = new Office(); laptop = await office.seat() })
afterEach(async () => { await office[Symbol.asyncDispose]() })

const note = (title: string, ...more: string[]): string[] => ['stack', 'add', '--kind', 'note', '--title', title, ...more]
const recorded = (dir: string): unknown => (JSON.parse(readFileSync(join(dir, '.stack/stack.json'), 'utf8')) as { stack: unknown }).stack
const record = (dir: string, stack: string): void => {
  mkdirSync(join(dir, '.stack'), { recursive: true })
  writeFileSync(join(dir, '.stack/stack.json'), JSON.stringify({ stack }))
}

describe('two repositories with one last name', () => {
  test('the second is told and has its own stack, and both worktrees remember theirs', async () => {
    const [one, two] = [laptop.clone(ONE), laptop.clone(TWO)]
    expect(await laptop.run(note('of one'), { cwd: one }))
      .toMatchObject({ code: 0, stderr: expect.not.stringContaining('warning') as string })
    const second = await laptop.run(note('of two'), { cwd: two })
    expect(second.stderr)
      .toContain('the stack api is of git.example.org/one/api; git.example.org/two/api has its own, two-api')
    expect(await laptop.held()).toEqual({ 'api': ['of one'], 'two-api': ['of two'] })
    expect([recorded(one), recorded(two)]).toEqual(['api', 'two-api'])
    expect((await laptop.run(note('of two again'), { cwd: two })).stderr).not.toContain('warning')
  })

  test('it is told before it has written, when it only looks', async () => {
    await laptop.run(note('of one'), { cwd: laptop.clone(ONE) })
    const looked = await laptop.run(['stack', 'show'], { cwd: laptop.clone(TWO) })
    expect(looked)
      .toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('has its own, two-api') as string })
    expect(looked.stderr).toContain('no stack "two-api"')
  })

  test('both at one moment: each has its own', async () => {
    const folders = [laptop.clone(ONE), laptop.clone(TWO), laptop.clone('https://other.example/one/api')]
    const answers = await Promise.all(folders.map((cwd, i) => laptop.run([...note(`of ${i}`), '--json'], { cwd })))
    // Who came too late is told, and comes to its own at the second try.
    for (const [i, { code }] of answers.entries()) if (code !== 0) expect((await laptop.run(note(`of ${i}`), { cwd: folders[i] ?? '' })).code).toBe(0)
    expect(Object.values(await laptop.held())).toEqual([['of 0'], ['of 1'], ['of 2']].map(() => [expect.any(String)]))
  })

  test('on two devices that do not hear each other: one stack, and both are told', async () => {
    const mini = await office.seat()
    office.mesh.cut(laptop.node, mini.node)
    const [one, two] = [laptop.clone(ONE), mini.clone(TWO)]
    await laptop.run(note('of one'), { cwd: one })
    await mini.run(note('of two'), { cwd: two })
    await office.mesh.connectAll()
    await eventually(() => { for (const { node } of [laptop, mini]) expect(node.stacks.book.origins.of('api')).toEqual(['git.example.org/one/api', 'git.example.org/two/api']) })
    for (const [seat, cwd] of [[laptop, one], [mini, two]] as const) {
      expect((await seat.run(note('later'), { cwd })).stderr.replace(/\s+/g, ' '))
        .toContain('the stack api is of git.example.org/one/api and git.example.org/two/api')
    }
  })

  test('every name is taken: the stack has to be named', async () => {
    const three = laptop.clone('https://h/api')
    await laptop.run(note('a'), { cwd: laptop.clone('https://x.example/y/api') })
    await laptop.run(note('b'), { cwd: laptop.clone('https://g.example/h/api', 'b') })
    expect(await laptop.json(note('c'), { cwd: three }))
      .toMatchObject({ error: { code: 'STACK_UNKNOWN', message: expect.stringContaining('another repository') as string } })
    expect((await laptop.run(['stack', 'add', 'third', '--kind', 'note', '--title', 'c'], { cwd: three })).code).toBe(0)
  })
})

describe('one repository', () => {
  test('however it was cloned, on whatever device, is the same stack, without a word', async () => {
    const mini = await office.seat()
    await laptop.run(note('by ssh'), { cwd: laptop.clone('ssh://git@git.example.org:2222/One/API') })
    await eventually(() => { expect(mini.node.stacks.book.origins.of('api')).toEqual(['git.example.org/one/api']) })
    const elsewhere = await mini.run(note('by https'), { cwd: mini.clone('https://me:token@git.example.org/one/api.git') })
    expect(elsewhere).toMatchObject({ code: 0, stderr: expect.not.stringContaining('warning') as string })
    await eventually(async () => { expect(Object.keys(await laptop.held())).toEqual(['api']) })
  })

  test('a fresh clone of the second one finds its stack on another device', async () => {
    await laptop.run(note('of one'), { cwd: laptop.clone(ONE) })
    await laptop.run(note('of two'), { cwd: laptop.clone(TWO) })
    const mini = await office.seat()
    await eventually(() => { expect(mini.node.stacks.book.origins.of('two-api')).toHaveLength(1) })
    expect(await mini.json(note('from mini'), { cwd: mini.clone(TWO) })).toMatchObject({ stack: 'two-api' })
  })

  test('a stack that was named by hand becomes the one of the repository that writes first', async () => {
    await laptop.run(['stack', 'add', 'api', '--kind', 'note', '--title', 'by hand'])
    await laptop.run(note('of one'), { cwd: laptop.clone(ONE) })
    await laptop.run(note('of two'), { cwd: laptop.clone(TWO) })
    expect(await laptop.held()).toEqual({ 'api': ['by hand', 'of one'], 'two-api': ['of two'] })
  })

  test('a write that is refused binds nothing', async () => {
    const token = `ghp_${'a1B2c3D4e5F6'.repeat(3)}`
    expect(await laptop.json(note('of one', '--body', `the token is ${token}`), { cwd: laptop.clone(ONE) }))
      .toMatchObject({ error: { code: 'SECRET' } })
    expect(await laptop.json(note('of two'), { cwd: laptop.clone(TWO) })).toMatchObject({ stack: 'api' })
  })
})

describe('.stack/stack.json', () => {
  test('that names the stack of another repository is told each time, with the way out', async () => {
    await laptop.run(note('of one'), { cwd: laptop.clone(ONE) })
    const two = laptop.clone(TWO)
    record(two, 'api')
    for (const line of [note('of two'), ['stack', 'show'], ['stack', 'search', 'of', 'two'], ['stack', 'log']]) {
      const { stderr } = await laptop.run(line, { cwd: two })
      expect(stderr.replace(/\s+/g, ' '))
        .toContain('names the stack api, which is of git.example.org/one/api; this repository is git.example.org/two/api. To give it its own, write {"stack":"two-api"} there; to share this one, write to it once at a terminal.')
    }
  })

  test('the same at a terminal is asked: no writes nothing, yes is remembered', async () => {
    await laptop.run(note('of one'), { cwd: laptop.clone(ONE) })
    const two = laptop.clone(TWO)
    record(two, 'api')
    const no = await laptop.run(note('of two'), { cwd: two, stdin: 'n\n', ...TTY })
    expect(no.code).toBe(130)
    expect(await laptop.held()).toEqual({ api: ['of one'] })
    expect((await laptop.run(note('of two'), { cwd: two, stdin: 'y\n', ...TTY })).code).toBe(0)
    expect((await laptop.run(note('again'), { cwd: two })).stderr).not.toContain('warning')
    expect(laptop.node.stacks.book.origins.of('api')).toEqual(['git.example.org/one/api', 'git.example.org/two/api'])
  })

  test('of another user is told, and binds nothing', async context => {
    if (process.getuid?.() !== 0) return context.skip('only root gives files to another user')
    const dir = laptop.clone(ONE)
    record(dir, 'private')
    chownSync(join(dir, '.stack/stack.json'), 12345, 12345)
    await laptop.run(['stack', 'add', 'private', '--kind', 'note', '--title', 'mine'])
    const { stderr } = await laptop.run(note('theirs'), { cwd: dir })
    expect(stderr).toMatch(/a file of another user \(id 12345\), names the stack private/)
    expect(laptop.node.stacks.book.origins.of('private')).toEqual([])
    expect((await laptop.run(note('asked'), { cwd: dir, stdin: 'n\n', ...TTY })).code).toBe(130)
  })

  test.each([
    ['a symlink', (file: string) => { symlinkSync('/dev/zero', file) }, 'is a symlink'],
    ['a pipe', (file: string) => { execFileSync('mkfifo', [file]) }, 'is no regular file'],
    ['too large', (file: string) => { writeFileSync(file, `{"stack":"api"}${' '.repeat(5000)}`) }, 'longer than 4096 bytes'],
    ['a folder', (file: string) => { mkdirSync(file) }, 'is no regular file'],
  ])('that is %s is refused and not followed', async (_what, make, why) => {
    const dir = laptop.clone(ONE)
    mkdirSync(join(dir, '.stack'))
    make(join(dir, '.stack/stack.json'))
    expect(await laptop.json(note('x'), { cwd: dir }))
      .toMatchObject({ error: { code: 'STACK_FILE', message: expect.stringContaining(why) as string } })
    expect(await laptop.held()).toEqual({})
  })

  test('below a .stack that leads elsewhere is neither read nor written', async () => {
    const dir = laptop.clone(ONE)
    const elsewhere = join(laptop.desk.dir, 'elsewhere')
    mkdirSync(elsewhere)
    chmodSync(elsewhere, 0o700)
    symlinkSync(elsewhere, join(dir, '.stack'))
    expect(await laptop.json(note('x'), { cwd: dir })).toMatchObject({ error: { code: 'STACK_FILE' } })
  })
})

test('a claim of the library on the stack of another repository: STACK_ORIGIN', async () => {
  const stack = laptop.node.stacks.open('api')
  await stack.add({ kind: 'note', title: 'of one' }, { claim: { origin: ONE } })
  await expect(stack.add({ kind: 'note', title: 'of two' }, { claim: { origin: TWO } }))
    .rejects.toMatchObject({ code: 'STACK_ORIGIN', data: { origins: ['git.example.org/one/api'] } })
  await stack.add({ kind: 'note', title: 'of two' }, { claim: { origin: TWO, share: true } })
  expect(await laptop.held()).toEqual({ api: ['of one', 'of two'] })
})

test('two claims on one new stack at one moment: one is its repository, the other is refused', async () => {
  const stack = laptop.node.stacks.open('api')
  const written = await Promise.allSettled([ONE, TWO].map(origin => stack.add({ kind: 'note', title: origin }, { claim: { origin } })))
  expect(written.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(await stack.list()).toHaveLength(1)
  expect(laptop.node.stacks.book.origins.of('api')).toHaveLength(1)
})

test('what a device writes of an origin that is none, or of no stack, counts for nothing', async () => {
  const settings = await laptop.node.stacks.ensure('_mesh')
  for (const body of ['', 'null', '{"stack":"api"}', '{"stack":"_mesh","origin":"h/a"}', '{"stack":"api","origin":"https://git.example.org/one/api.git"}', '{"stack":"api","origin":"h/\\u001b[2J"}']) {
    await settings.stack.add({ kind: 'origin', title: 'x', body })
  }
  expect(laptop.node.stacks.book.origins.of('api')).toEqual([])
  expect(await laptop.json(note('of one'), { cwd: laptop.clone(ONE) })).toMatchObject({ stack: 'api' })
})
