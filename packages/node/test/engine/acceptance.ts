/** What every engine must do, whatever runs beneath it. An engine's own test calls {@link engineAcceptance} and adds its specials. */
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import type { Engine, RunEvent, RunSpec } from '../../src/ports/engine.ts'
import { runAcceptance } from '../ports/engine.ts'

export interface AcceptanceOptions {
  make: () => Promise<Engine>
  /** Ends what {@link AcceptanceOptions.make} made. */
  close?: (engine: Engine) => Promise<void>
  /** The same engine inside a node process that a test may kill; `next` is an engine of the node's next life over the same root. */
  mortal: () => Promise<{ engine: Engine, kill: () => Promise<void>, next: () => Promise<Engine>, close: () => Promise<void> }>
  /** Pids on this machine whose environment holds the text: how a test looks for survivors from outside. */
  survivors: (marker: string) => Promise<number[]>
  /** Limits this engine has here; for the others, why not. */
  limits: { memory: true | string, pids: true | string }
  /** Why a slow consumer cannot be tested through {@link AcceptanceOptions.make}, when it cannot. */
  unthrottled?: string
  /** The uid of the node that owns the engine, when it is not this process's. */
  nodeUid?: number
  /** True, or why two builds on this engine can read each other's files. */
  separate: true | string
  /** Where a build finds its tree. @default at the tree's own path */
  inside?: (tree: string) => string
  /** Variables that the engine sets as its own mark, and no API can take away. */
  marks?: string[]
}

const MB = 1_048_576
const LIMITS = { cpus: 2, memoryBytes: 512 * MB, pidsMax: 200, diskBytes: 512 * MB }
const PATH = '/usr/local/bin:/usr/bin:/bin'

export interface Outcome { events: RunEvent[], text: string, exit: Extract<RunEvent, { type: 'exit' }> }

export function newId (): string { return `t${randomBytes(8).toString('hex')}` }

export function specOf (tree: string, command: string[], more: Partial<RunSpec> = {}): RunSpec {
  return { id: newId(), slot: 0, tree, cwd: '.', command, env: { PATH }, limits: LIMITS, sealed: false, image: null, ...more }
}

export async function collect (events: AsyncIterable<RunEvent>): Promise<Outcome> {
  const all: RunEvent[] = []
  for await (const event of events) all.push(event)
  const exit = all.at(-1)
  if (exit?.type !== 'exit') throw new Error('the last event is not exit')
  const text = Buffer.concat(all.flatMap(event => event.type === 'log' ? [event.data] : [])).toString()
  return { events: all, text, exit }
}

export async function until (condition: () => Promise<boolean>, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs
  while (!await condition()) {
    if (performance.now() > end) return false
    await delay(10)
  }
  return true
}

/** Runs a command in the background and resolves when it has printed the word. */
async function spoken (run: AsyncIterator<RunEvent>, word: string): Promise<void> {
  for (let text = ''; !text.includes(word);) {
    const { value, done } = await run.next()
    if (done === true || value.type === 'exit') throw new Error(`ended before it said ${word}: ${text}`)
    if (value.type === 'log') text += Buffer.from(value.data).toString()
  }
}

/** A grandchild in a session of its own, that ignores what it can; says `up` when it runs. */
const GRANDCHILD = ['sh', '-c', 'setsid sh -c \'trap "" TERM HUP INT; while :; do sleep 1; done\' & sleep 0.1; echo up; sleep 600']

function skipUnless (context: TestContext, have: true | string): void {
  if (have === true) return
  console.log(`skipped "${context.task.name}": ${have}`)
  context.skip(have)
}

export function engineAcceptance (name: string, options: AcceptanceOptions): void {
  describe(`engine acceptance: ${name}`, { timeout: 20_000 }, () => {
    let engine: Engine
    const trees: string[] = []
    const newTree = async (slot = 0): Promise<string> => {
      const tree = await engine.createTree(newId(), slot)
      trees.push(tree)
      return tree
    }
    const run = async (command: string[], more: Partial<RunSpec> = {}): Promise<Outcome> =>
      collect(engine.run(specOf(more.tree ?? await newTree(more.slot), command, more), { signal: new AbortController().signal }))

    /** Writes into a tree as the node would: a folder, or a file with a text. */
    const put = async (path: string, text?: string): Promise<void> => {
      await (text === undefined ? mkdir(path, { mode: 0o755 }) : writeFile(path, text, { mode: 0o644 }))
      if (options.nodeUid !== undefined) await chown(path, options.nodeUid, options.nodeUid)
    }

    beforeAll(async () => {
      engine = await options.make()
      await engine.check()
      await engine.sweep()
    })
    afterAll(async () => {
      for (const tree of trees) await engine.removeTree(tree)
      for (const tree of trees) expect(await readdir(dirname(tree)).catch(() => 'gone')).toBe('gone')
      await options.close?.(engine)
    })

    test('says what it is', () => { expect(engine.description.length).toBeGreaterThan(20) })

    runAcceptance(name, async () => ({
      engine, short: tree => specOf(tree, ['echo', 'out']), long: tree => specOf(tree, ['sh', '-c', 'echo up; sleep 600']),
    }))

    test('streams arrive as printed, started first and exit last', async () => {
      const { events } = await run(['sh', '-c', 'for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done'])
      expect(events.map(event => event.type === 'log' ? `${event.stream}:${Buffer.from(event.data).toString().trim()}` : event.type))
        .toEqual(['started', ...[1, 2, 3].flatMap(i => [`stdout:out${i}`, `stderr:err${i}`]), 'exit'])
    })

    test('the exit code is the command\'s, a death by signal has its name', async () => {
      expect((await run(['true'])).exit).toMatchObject({ exitCode: 0, signal: null, reason: null })
      expect((await run(['sh', '-c', 'exit 3'])).exit).toMatchObject({ exitCode: 3, signal: null, reason: null })
      expect((await run(['sh', '-c', 'kill -TERM $$'])).exit).toMatchObject({ exitCode: 143, signal: 'SIGTERM' })
      expect((await run(['no-such-program'])).exit.exitCode).toBe(127)
    })

    test('arguments pass untouched and the working directory is the one asked for', async () => {
      const tree = await newTree()
      await put(join(tree, 'a b'))
      await put(join(tree, 'a b/c'))
      const { text } = await run(['sh', '-c', 'pwd; printf "%s|" "$@"', 'sh', 'it\'s', '$HOME', 'two\nlines', ''], { tree, cwd: 'a b/c' })
      expect(text).toBe(`${join(options.inside?.(tree) ?? tree, 'a b/c')}\nit's|$HOME|two\nlines||`)
    })

    test('a working directory outside of the tree is refused', async () => {
      for (const cwd of ['..', '/etc', 'missing']) await expect(run(['true'], { cwd })).rejects.toMatchObject({ code: 'CWD_INVALID' })
    })

    test('the environment is exactly what was given, with a private HOME and TMPDIR', async () => {
      process.env['SECRET_OF_THE_NODE'] = 'canary'
      const env = { PATH, LANG: 'C.UTF-8', GIVEN: 'it\'s $HOME\nand "more"' }
      const { text } = await run(['env', '-0'], { env })
      const seen = Object.fromEntries(text.split('\0').filter(Boolean).map(pair => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
      for (const mark of options.marks ?? []) delete seen[mark]
      const { HOME, TMPDIR: _, ...rest } = seen
      expect(rest).toEqual(env)
      expect(HOME).not.toBe(process.env['HOME'])
      expect((await run(['sh', '-c', 'echo x > "$HOME/f" && echo x > "$TMPDIR/f" && cat "$HOME/f" && [ "$HOME" != "$TMPDIR" ]'])).exit.exitCode).toBe(0)
    })

    test('what the node wrote into the tree is the build\'s, to change and to delete', async () => {
      const tree = await newTree()
      await put(join(tree, 'src'))
      await put(join(tree, 'src/file'), 'text')
      expect((await run(['sh', '-c', 'echo more >> src/file && rm src/file && rmdir src && touch new'], { tree })).exit.exitCode).toBe(0)
    })

    test('builds of two slots cannot read each other\'s tree, home or temporary files', async context => {
      skipUnless(context, options.separate)
      const mine = await newTree(0)
      const home = (await run(['sh', '-c', 'echo secret > "$HOME/s"; echo secret > s; chmod 777 . s "$HOME" "$HOME/s"; chmod 700 . "$HOME"; echo "$HOME"'], { tree: mine })).text.trim()
      const { text, exit } = await run(['sh', '-c', `cat ${mine}/s ${home}/s; ls ${mine} ${dirname(mine)}`], { slot: 1 })
      expect(exit.exitCode).not.toBe(0)
      expect(text).not.toMatch(/^secret/m)
    })

    test('a slow consumer slows the build down, and gets every byte', async context => {
      skipUnless(context, options.unthrottled ?? true)
      const tree = await newTree()
      const signal = new AbortController().signal
      let bytes = 0
      for await (const event of engine.run(specOf(tree, ['sh', '-c', 'head -c 20000000 /dev/zero; touch printed']), { signal })) {
        if (event.type !== 'log') continue
        // Ten times what the command needs when nobody holds it back.
        if (bytes === 0) await delay(300)
        if (bytes === 0) expect(await readdir(tree)).toEqual([])
        bytes += event.data.length
      }
      expect(bytes).toBe(20_000_000)
      expect(await readdir(tree)).toEqual(['printed'])
    })

    test('cancel: a grandchild in its own session is gone within 2 s', async () => {
      const marker = newId()
      const controller = new AbortController()
      const run = engine.run(specOf(await newTree(), GRANDCHILD, { env: { PATH, MARKER: marker } }), { signal: controller.signal })[Symbol.asyncIterator]()
      await spoken(run, 'up')
      expect((await options.survivors(marker)).length).toBeGreaterThan(1)
      const start = performance.now()
      controller.abort()
      let last: RunEvent | undefined
      for (let step = await run.next(); step.done !== true; step = await run.next()) last = step.value
      expect(performance.now() - start).toBeLessThan(2000)
      expect(last).toMatchObject({ type: 'exit', exitCode: 137, signal: 'SIGKILL' })
      expect(await options.survivors(marker)).toEqual([])
    })

    test('a deadline is a signal', async () => {
      const deadline = await collect(engine.run(specOf(await newTree(), ['sleep', '600']), { signal: AbortSignal.timeout(300) }))
      expect(deadline.exit.signal).toBe('SIGKILL')
    })

    test('what a command leaves in the background ends with it', async () => {
      const marker = newId()
      const { exit } = await run(['sh', '-c', 'setsid sleep 600 & echo left'], { env: { PATH, MARKER: marker } })
      expect(exit.exitCode).toBe(0)
      expect(await options.survivors(marker)).toEqual([])
    })

    test('a memory hog is stopped, with the reason', async context => {
      skipUnless(context, options.limits.memory)
      const { exit } = await run(['sh', '-c', 'head -c 300000000 /dev/zero | tail > /dev/null'], { limits: { ...LIMITS, memoryBytes: 64 * MB } })
      expect(exit).toMatchObject({ reason: 'memory' })
      expect(exit.exitCode).not.toBe(0)
    })

    test('a fork bomb is stopped, with the reason', async context => {
      skipUnless(context, options.limits.pids)
      const { exit } = await run(['sh', '-c', 'i=0; while [ $i -lt 200 ]; do sleep 600 & i=$((i+1)); done; exit 0'], { limits: { ...LIMITS, pidsMax: 32 } })
      expect(exit).toMatchObject({ reason: 'pids' })
      expect(exit.exitCode).not.toBe(0)
    })

    test('the node dies: a grandchild in its own session is gone within 2 s, and the next life sweeps the rest', async () => {
      const { engine: doomed, kill, next, close } = await options.mortal()
      await doomed.check()
      const marker = newId()
      const tree = await doomed.createTree(newId(), 0)
      const run = doomed.run(specOf(tree, GRANDCHILD, { env: { PATH, MARKER: marker } }), { signal: new AbortController().signal })[Symbol.asyncIterator]()
      await spoken(run, 'up')
      expect((await options.survivors(marker)).length).toBeGreaterThan(1)
      await kill()
      expect(await until(async () => (await options.survivors(marker)).length === 0, 2000)).toBe(true)
      const reborn = await next()
      await reborn.sweep()
      expect(await readdir(dirname(dirname(tree)))).toEqual([])
      await close()
    })
  })
}
