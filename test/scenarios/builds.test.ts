/** Builds that cannot run, must end, or send back what they should not: the exit code says which, and nothing is left running. */
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BuildStatus } from '../../packages/node/src/api.ts'
import { needs } from '../../packages/node/test/support/when.ts'
import { locate } from '../../packages/node/src/gateway/location.ts'
import { Lab, freshMark, marked, must, project, until } from './support.ts'
import type { Command, Node, Result } from './support.ts'

const lab = new Lab()
let desk: Node
let builder: Node
let dir: string
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  desk = await lab.join('desk')
  builder = await lab.admit('builder', desk, { slots: 1 })
  await desk.sees('builder', 'desk')
  dir = project(lab, 'project', { 'a.txt': 'a\n' })
})

const resultOf = (build: Command): Result => must(build.events.findLast(event => event.event === 'result'), `the build ends with a result: ${build.stdout}${build.stderr}`)
const buildOf = async (id: string): Promise<BuildStatus | undefined> => (await desk.call('builds.list', {})).find(build => build.id === id)
const warningsOf = (build: Command): string[] => build.events.flatMap(event => event.event === 'warning' ? [event.message] : [])
/** Long work with a grandchild that leaves its session; the mark is in every argument list. */
const work = (mark: string): string[] => ['--', 'sh', '-c', 'setsid sleep 600 & echo begun; sleep 600', mark]

/** The builder's slot is free again, for everybody who looks. */
async function slotIsFree (): Promise<void> {
  await until('the slot is free again', async () => (await desk.call('devices', {})).find(({ name }) => name === 'builder')?.slots.free === 1)
}

async function begin (flags: string[], mark: string): Promise<Command> {
  const build = desk.begin(['build', dir, '--env', 'MARK', ...flags, ...work(mark)], { env: { MARK: mark } })
  await until(`the build runs: ${build.stderr}`, () => build.printed.includes('begun'))
  expect((await marked(mark, build)).length).toBeGreaterThan(1)
  return build
}

const nothingLeft = async (mark: string, ms: number, ...except: Command[]): Promise<void> => {
  await until('no process of the build is left', async () => (await marked(mark, ...except)).length === 0, ms)
}

describe('a build that nobody can run: 125, and why each was refused', () => {
  test.each<[string, string[], Record<string, RegExp>]>([
    ['more memory than anybody has', ['--memory', '4000g'], { desk: /^0 slots$/, builder: /^memory .* < 4000 GB asked$/ }],
    ['this device only, which has no slots', ['--local', 'only'], { desk: /^0 slots$/, builder: /^local only$/ }],
    ['one device that has no slots', ['--on', 'desk'], { desk: /^0 slots$/, builder: /^not the device asked for$/ }],
  ])('%s', async (_what, flags, refusals) => {
    const { code, command } = await lab.run(desk.dir, ['build', dir, ...flags, '--', 'true'])
    expect(code, command.stdout + command.stderr).toBe(125)
    const result = resultOf(command)
    expect(result).toMatchObject({ state: 'failed', exitCode: 125, builder: null, outputs: [], error: { code: 'NO_CANDIDATE' } })
    expect(result.error?.fix).not.toBe('')
    const { candidates } = await desk.ask<{ candidates: Array<{ device: { name: string }, refused: string | null }> }>('builds', 'why', result.build)
    for (const [name, why] of Object.entries(refusals)) {
      const refused = must(candidates.find(({ device }) => device.name === name)?.refused ?? undefined, `${name} was refused`)
      expect(refused).toMatch(why)
      expect(result.error?.message).toContain(`${name}: ${refused}`)
    }
  })

  test('a device that is offline, unless it is waited for, and one that does not exist', async () => {
    const away = await lab.admit('away', desk, { slots: 1 })
    await desk.sees('away', 'builder', 'desk')
    await away.stop()
    await desk.sees('builder', 'desk')
    const offline = await lab.run(desk.dir, ['build', dir, '--on', 'away', '--', 'true'])
    expect(offline.code).toBe(125)
    expect(resultOf(offline.command).error).toMatchObject({ code: 'OFFLINE', message: expect.stringContaining('away') as string, fix: expect.stringContaining('elder-node status') as string })
    const waiting = desk.begin(['build', dir, '--on', 'away', '--wait', '5m', '--', 'true'])
    await until('the build waits', () => waiting.events.some(event => event.event === 'queued' && event.why === 'away is offline; waiting up to 5 m'))
    await away.start()
    expect(await waiting.exited, waiting.stdout).toBe(0)
    expect(resultOf(waiting).builder?.name).toBe('away')
    const unknown = await lab.run(desk.dir, ['build', dir, '--on', 'nobody', '--', 'true'])
    expect(unknown.code).toBe(125)
    expect(unknown.last?.error).toMatchObject({ code: 'NO_SUCH_DEVICE', message: expect.stringContaining('"nobody"') as string, fix: expect.stringContaining('elder-node devices') as string })
    await desk.ask('evict', 'away', '--yes')
  })

  test('a folder that is not there', async () => {
    const { code, last } = await lab.run(desk.dir, ['build', join(lab.temp, 'missing'), '--', 'true'])
    expect(code).toBe(125)
    expect(last?.error).toMatchObject({ code: 'NOT_A_FOLDER', message: expect.stringContaining(join(lab.temp, 'missing')) as string })
    expect(last?.error?.fix).not.toBe('')
  })

  test('no node that runs here', async () => {
    const { code, last } = await lab.run(join(lab.temp, 'empty'), ['build', dir, '--', 'true'])
    expect(code).toBe(125)
    expect(last?.error).toMatchObject({ code: 'NO_MESH', fix: expect.stringContaining('elder-node join') as string })
  })
})

test('a missing command is a usage error, 2', async () => {
  for (const words of [['build', dir], ['build', dir, '--']]) {
    const { code, last } = await lab.run(desk.dir, words)
    expect(code).toBe(2)
    expect(last?.error).toMatchObject({ code: 'USAGE', message: 'the command to run is missing', fix: expect.stringContaining('elder-node build . -- npm test') as string })
  }
})

test('a command that is not installed there: its own exit code, 127, and its name', async () => {
  const { code, command } = await lab.run(desk.dir, ['build', dir, '--', 'no-such-tool-anywhere'])
  expect(code).toBe(127)
  expect(command.stdout).toContain('no-such-tool-anywhere')
  expect(warningsOf(command).filter(message => /not found \(exit 127\).*installed on builder.*--image/.test(message))).toHaveLength(1)
})

describe('what a project says of its builds', () => {
  test('its command, its outputs; what cannot come back is told, and keys that mean nothing', async () => {
    const own = project(lab, 'own', { '.elder.json': '{"build":{\n"command":"mkdir dist && echo built > dist/a && ln -s a dist/b",\n"outputs":["dist/**"],"needs":{"memory":"64m"},"speed":1}}' })
    const to = lab.folder('own-outputs')
    const { code, command } = await lab.run(desk.dir, ['build', own, '--to', to])
    expect(code, command.stdout).toBe(0)
    expect(readFileSync(join(to, 'dist', 'a'), 'utf8')).toBe('built\n')
    expect(warningsOf(command)).toEqual(expect.arrayContaining([expect.stringMatching(/line 3: "build\.speed" means nothing here/), 'the symlink dist/b is left out: outputs are regular files']))
    expect(command.events.find(event => event.event === 'started')).toMatchObject({ engine: 'process', network: 'full', message: 'network: full, as the owner of builder allows' })
    const sealed = await lab.run(desk.dir, ['build', own, '--sealed'])
    expect([sealed.code, resultOf(sealed.command)]).toMatchObject([125, { sealed: true, error: { code: 'NO_CANDIDATE', message: expect.stringContaining('builder: engine process cannot seal a build') as string } }])
  })

  test('an error in it names the line', async () => {
    const wrong = project(lab, 'wrong', { '.elder.json': '{"build":{\n"outputs":"dist"}}' })
    const { code, last } = await lab.run(desk.dir, ['build', wrong, '--', 'true'])
    expect(code).toBe(125)
    expect(last?.error).toMatchObject({ code: 'RECIPE_INVALID', message: expect.stringContaining('.elder.json, line 2: build.outputs') as string })
  })
})

test('a detached build outlives its command: its log, its end and its outputs are there for whoever asks', async () => {
  const to = lab.folder('detached')
  // Where any user may look: the build runs as one of its own.
  const gate = mkdtempSync('/tmp/elder-gate-')
  lab.later(() => { rmSync(gate, { recursive: true, force: true }) })
  chmodSync(gate, 0o755)
  const begun = await lab.run(desk.dir, ['build', dir, '--detach', '--out', 'o.txt', '--to', to, '--', 'sh', '-c', `echo begun; while [ ! -e ${gate}/go ]; do sleep 0.1; done; echo made > o.txt; exit 3`])
  expect(begun.code).toBe(0)
  const id = must(begun.last as { build?: string } | undefined, 'it has an id').build ?? ''
  await until('it runs', async () => (await desk.ask<{ builds: BuildStatus[] }>('builds')).builds.find(build => build.id === id)?.state === 'running')
  await until('its log so far is told, and no more is waited for', async () => (await lab.run(desk.dir, ['builds', 'logs', id.slice(0, 8)])).command.printed === 'begun\n')
  const attached = desk.begin(['builds', 'attach', id])
  await until('the one who attached sees the log', () => attached.printed === 'begun\n')
  writeFileSync(join(gate, 'go'), '')
  expect(await attached.exited).toBe(3)
  expect(readFileSync(join(to, 'o.txt'), 'utf8')).toBe('made\n')
})

describe('a build that must end leaves no process behind', () => {
  test('its deadline: 124', async () => {
    const mark = freshMark()
    const build = await begin(['--deadline', '1500ms'], mark)
    expect(await build.exited).toBe(124)
    const { error, exitCode } = resultOf(build)
    expect(exitCode).toBe(124)
    expect(error).toMatchObject({ code: 'DEADLINE', message: expect.stringMatching(/deadline/) as string, fix: expect.stringContaining('--deadline') as string })
    await nothingLeft(mark, 2_000)
    await slotIsFree()
  })

  test('Ctrl-C at the command: 130, everything gone within 2 s', async () => {
    const mark = freshMark()
    const build = await begin([], mark)
    build.process.kill('SIGINT')
    await nothingLeft(mark, 2_000, build)
    expect(await build.exited).toBe(130)
    expect(resultOf(build)).toMatchObject({ state: 'cancelled', exitCode: 130 })
    await slotIsFree()
  })

  test('a command that is killed: its build is cancelled', async () => {
    const mark = freshMark()
    const build = await begin([], mark)
    const id = must(build.events[0], 'it has an id').build
    await build.end('SIGKILL')
    await nothingLeft(mark, 10_000)
    await until('the build is cancelled', async () => (await buildOf(id))?.state === 'cancelled')
    await slotIsFree()
  })

  test('`builds cancel`: the one who waits for it is told, 130', async () => {
    const mark = freshMark()
    const build = await begin([], mark)
    const id = must(build.events[0], 'it has an id').build
    expect(await desk.ask('builds', 'cancel', id.slice(0, 8))).toMatchObject({ build: id, cancelled: true })
    await nothingLeft(mark, 2_000, build)
    expect(await build.exited).toBe(130)
    expect(await buildOf(id)).toMatchObject({ state: 'cancelled', exitCode: 130 })
    await slotIsFree()
    const unknown = await desk.run('builds', 'cancel', 'zzzzzzzz')
    expect(unknown.code).toBe(1)
    expect(unknown.last?.error).toMatchObject({ code: 'NO_SUCH_BUILD', message: expect.stringContaining('zzzzzzzz') as string, fix: expect.stringContaining('elder-node builds') as string })
  })
})

test('an output over a file that was edited while the build ran stands beside it; --force replaces it', async () => {
  const edited = project(lab, 'edited', { 's.js': 'let a\n' })
  const signs = mkdtempSync(join(tmpdir(), 'elder-sign-'))
  chmodSync(signs, 0o755)
  const build = async (name: string, ...flags: string[]): Promise<Command> => {
    const go = join(signs, name)
    const command = desk.begin(['build', edited, '--out', 's.js', ...flags, '--', 'sh', '-c', `echo begun; until [ -e ${go} ]; do sleep 0.05; done; echo formatted >> s.js`])
    await until(`the build runs: ${command.stderr}`, () => command.printed.includes('begun'))
    writeFileSync(join(edited, 's.js'), `let ${name}\n`)
    writeFileSync(go, '')
    expect(await command.exited, command.stdout + command.stderr).toBe(0)
    return command
  }
  const beside = await build('mine')
  expect([readFileSync(join(edited, 's.js'), 'utf8'), readFileSync(join(edited, 's.js.from-builder'), 'utf8')]).toEqual(['let mine\n', 'let a\nformatted\n'])
  expect(resultOf(beside).outputs).toMatchObject([{ path: 's.js', beside: 's.js.from-builder' }])
  expect(warningsOf(beside).join('\n')).toMatch(/s\.js .*stays.*s\.js\.from-builder \(--force replaces\)/)
  expect(resultOf(await build('other', '--force')).outputs).toEqual([expect.not.objectContaining({ beside: expect.anything() as unknown })])
  expect(readFileSync(join(edited, 's.js'), 'utf8')).toBe('let mine\nformatted\n')
  rmSync(signs, { recursive: true })
})

test('a builder whose own PATH has no git offers no slots and says why, until there is one', async () => {
  const bin = mkdtempSync(join(lab.temp, 'bin-'))
  for (const folder of (process.env['PATH'] ?? '').split(':').filter(folder => existsSync(folder))) {
    for (const name of readdirSync(folder)) if (!name.startsWith('git') && !existsSync(join(bin, name))) symlinkSync(join(folder, name), join(bin, name))
  }
  const bare = await lab.admit('bare', desk, { slots: 1, env: { PATH: bin } })
  const slots = async (): Promise<number | undefined> => (await desk.call('devices', {})).find(({ name }) => name === 'bare')?.slots.total
  await until('desk hears of bare', async () => await slots() !== undefined)
  expect(await slots()).toBe(0)
  const { code, command } = await lab.run(desk.dir, ['build', dir, '--on', 'bare', '--', 'true'])
  expect([code, resultOf(command).error?.message]).toEqual([125, expect.stringContaining('0 slots: no working git in the PATH of its node')])
  // Asked of the node: the command itself has a git.
  const { code: found, last } = await bare.run('doctor')
  // It was told to offer a slot, and that stays; so this is a failure.
  expect(found).toBe(5)
  const { checks } = last as { checks: Array<{ name: string, status: string, code: string | null, message: string }> }
  expect(checks).toContainEqual(expect.objectContaining({ name: 'git', status: 'warn', code: 'GIT_MISSING', message: expect.stringContaining('the node cannot run git') as string }))
  expect((await bare.call('status', {})).self.engineNote).toMatch(/0 slots: no working git/)
  symlinkSync(execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim(), join(bin, 'git'))
  await until('the slot is offered', async () => await slots() === 1)
  expect((await lab.run(desk.dir, ['build', dir, '--on', 'bare', '--', 'cat', 'a.txt'])).code).toBe(0)
  await bare.stop()
})

test.runIf(needs(process.getuid?.() === 0, 'root: builds have users of their own'))('a build reads neither the key of its builder nor speaks to its control socket', async () => {
  const { socket } = locate(builder.dir, process.env)
  const attack = `cat ${builder.dir}/device.key && echo KEY; ls ${builder.dir} && echo DATA; for p in /proc/[0-9]*; do cat $p/root${builder.dir}/device.key && echo KEY; done
    ${process.execPath} -e 'require("net").connect(${JSON.stringify(socket)}).on("connect", () => console.log("SOCKET")).on("error", e => console.log("refused", e.code))'; true`
  const { code, command } = await lab.run(desk.dir, ['build', dir, '--', 'sh', '-c', attack])
  expect(code).toBe(0)
  expect(command.printed).toMatch(/refused E(ACCES|PERM)/)
  for (const won of ['KEY', 'DATA', 'SOCKET']) expect(command.printed).not.toMatch(new RegExp(`^${won}$`, 'm'))
})

test('outputs that a project names replace what its earlier builds wrote, and no file that was never sent', async () => {
  const recipe = { build: { command: 'mkdir -p dist && date +%s%N > dist/a && echo theirs > .env', outputs: ['dist/**', '.env'] } }
  const own = project(lab, 'recipe', { '.gitignore': 'dist\n.env\n', '.elder.json': JSON.stringify(recipe) })
  writeFileSync(join(own, '.env'), 'mine\n')
  const built: string[] = []
  for (const beside of ['.env.from-builder', '.env.from-builder.2']) {
    const { code, command } = await lab.run(desk.dir, ['build', own])
    expect(code, command.stderr).toBe(0)
    expect(resultOf(command).outputs).toMatchObject([{ path: '.env', beside }, { path: 'dist/a' }])
    expect(warningsOf(command).join('\n')).toMatch(/\.env was not sent, and no earlier build wrote it.* stays/)
    built.push(readFileSync(join(own, 'dist/a'), 'utf8'))
  }
  expect(built[0]).not.toBe(built[1])
  expect([readFileSync(join(own, '.env'), 'utf8'), readdirSync(join(own, 'dist'))]).toEqual(['mine\n', ['a']])
})

test('outputs of a command that failed come back, marked', async () => {
  const { code, command } = await lab.run(desk.dir, ['build', dir, '--out', 'report', '--to', join(dir, 'reports'), '--', 'sh', '-c', 'echo why > report; exit 3'])
  expect([code, readFileSync(join(dir, 'reports/report'), 'utf8')]).toEqual([3, 'why\n'])
  expect(resultOf(command)).toMatchObject({ exitCode: 3, outputs: [{ path: 'report', failed: true }] })
})

describe('outputs that leave the tree', () => {
  const run = async (script: string, out: string, to: string): Promise<{ code: number | string, result: Result }> => {
    const { code, command } = await lab.run(desk.dir, ['build', dir, '--out', out, '--to', to, '--', 'sh', '-c', script])
    return { code, result: resultOf(command) }
  }

  test('a symlink on the builder: what it points to does not come back', async () => {
    const to = lab.folder('linked')
    const folder = await run('ln -s /etc dist', 'dist/**', to)
    expect(folder.result.outputs).toEqual([])
    expect(readdirSync(to)).toEqual([])
    const file = await run('mkdir dist && ln -s /etc/hostname dist/name && ln -s / dist/root && echo mine > dist/mine', 'dist/**', to)
    expect(file.code).toBe(0)
    expect(file.result.outputs.map(({ path }) => path)).toEqual(['dist/mine'])
    expect(readdirSync(join(to, 'dist'))).toEqual(['mine'])
  })

  test.each(['../**', '/etc/**', 'dist/../../*'])('the glob %s is refused before anything runs', async (glob) => {
    const to = lab.folder(`glob-${glob.replaceAll(/\W/g, '_')}`)
    const { code, last } = await lab.run(desk.dir, ['build', dir, '--out', glob, '--to', to, '--', 'true'])
    expect(code).toBe(2)
    expect(last?.error).toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining(`"${glob}" leaves the tree`) as string, fix: expect.stringContaining('--out') as string })
    expect(readdirSync(to)).toEqual([])
  })

  test('a symlink in the target folder: refused, and nothing is written outside', async () => {
    const outside = lab.folder('outside')
    writeFileSync(join(outside, 'x.txt'), 'mine\n')
    const to = lab.folder('target')
    symlinkSync(outside, join(to, 'dist'))
    const { code, result } = await run('mkdir dist && echo theirs > dist/x.txt && echo new > dist/y.txt', 'dist/**', to)
    expect(code).toBe(125)
    expect(result.error).toMatchObject({ code: 'OUTPUT_INVALID', message: expect.stringContaining(`${join(to, 'dist')} is a symlink`) as string })
    expect(result.error?.fix).not.toBe('')
    expect(readdirSync(outside)).toEqual(['x.txt'])
    expect(readFileSync(join(outside, 'x.txt'), 'utf8')).toBe('mine\n')
    expect(lstatSync(join(to, 'dist')).isSymbolicLink()).toBe(true)
    expect(readdirSync(lab.temp).filter(name => name.startsWith('.elder-outputs'))).toEqual([])
  })

  test('a folder in the way of a file: refused, and neither is touched', async () => {
    const to = lab.folder('in-the-way')
    mkdirSync(join(to, 'dist', 'x.txt'), { recursive: true })
    const { code, result } = await run('mkdir dist && echo a > dist/a.txt && echo x > dist/x.txt', 'dist/**', to)
    expect(code).toBe(125)
    expect(result.error).toMatchObject({ code: 'OUTPUT_INVALID', message: expect.stringContaining(join(to, 'dist', 'x.txt')) as string })
    expect(readdirSync(join(to, 'dist'))).toEqual(['x.txt'])
  })

  test('a glob without a match warns, and is exit 1 with --strict-outputs', async () => {
    const to = lab.folder('no-match')
    const words = (...flags: string[]): string[] => ['build', dir, '--out', 'nothing/**', '--to', to, ...flags, '--', 'true']
    const lax = await lab.run(desk.dir, words())
    expect(lax.code).toBe(0)
    expect(lax.command.events.filter(event => event.event === 'warning').map(({ message }) => message)).toContain('no output matches nothing/**')
    expect((await lab.run(desk.dir, words('--strict-outputs'))).code).toBe(1)
  })
})

test('after all that the builder is the same process, with its slot free', async () => {
  expect(builder.process.running).toBe(true)
  await slotIsFree()
  expect((await lab.run(desk.dir, ['build', dir, '--', 'true'])).code).toBe(0)
})
