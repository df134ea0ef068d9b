/** The builder's adapters in a row, as a build uses them: snapshot, cache, checkout, prepare, run, outputs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openEngine } from '../src/adapters/engines.ts'
import { GitCache } from '../src/adapters/git-cache.ts'
import { GitSource } from '../src/adapters/git-source.ts'
import { FileOutputReader } from '../src/adapters/output-reader.ts'
import { FileOutputWriter } from '../src/adapters/output-writer.ts'
import { PrepareCache } from '../src/adapters/prepare-cache.ts'
import { collect, newId, specOf, type Outcome } from './engine/acceptance.ts'
import type { Engine } from '../src/ports/engine.ts'
import { needs } from './support/when.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-chain-'))
await chmod(base, 0o711)
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal

describe.runIf(needs(process.platform !== 'win32', 'the process engine, which Windows has not'))('a build through all adapters', () => {
  test('cold, then warm in another slot: the prepared files belong to the build\'s user, outputs come home', async () => {
    const project = join(base, 'project')
    await mkdir(join(project, 'src'), { recursive: true })
    await writeFile(join(project, 'src/input.txt'), 'hello')
    await writeFile(join(project, 'requirements.txt'), 'none')
    const { engine, environment } = await openEngine('process', { dataDir: join(base, 'data'), root: join(base, 'root') })
    if (engine === undefined) throw new Error('no engine')
    const private_ = join(base, 'data')
    await mkdir(private_, { mode: 0o700 })
    const [reader, cache] = [new GitSource({ dir: join(private_, 'snapshots') }), new GitCache({ dir: join(private_, 'sources') })]
    const prepared = new PrepareCache({ dir: join(private_, 'prepared') })
    const env = await environment({})
    const parts = { requester: 'me', project: 'p', command: 'deps', cwd: 'src', engine: 'process', image: null, platform: 'x' }
    const run = (engine: Engine, tree: string, slot: number, command: string): Promise<Outcome> => collect(engine.run(specOf(tree, ['sh', '-c', command], { slot, env, cwd: 'src' }), { signal }))

    for (const [slot, warmth] of ['prepared', 'reused'].entries()) {
      const snapshot = await reader.snapshot(project, { signal })
      const have = await cache.have('me', snapshot.project, [snapshot.commit], { signal })
      if (!have.includes(snapshot.commit)) await cache.receive('me', snapshot.project, snapshot.commit, reader.pack(snapshot, have, { signal }), { signal })
      const tree = await engine.createTree(newId(), slot)
      await cache.checkout('me', snapshot.project, snapshot.commit, tree, { signal })
      expect(await prepared.furnish(parts, tree, async () => {
        expect((await run(engine, tree, slot, 'mkdir -p ../deps/bin && echo "tr a-z A-Z" > ../deps/bin/upper && chmod 500 ../deps/bin/upper')).exit.exitCode).toBe(0)
      }, { signal })).toBe(warmth)
      const { exit, text } = await run(engine, tree, slot, 'mkdir ../dist && ../deps/bin/upper < input.txt > ../dist/out.txt && chmod 700 ../deps/bin/upper && touch ../deps/mine && rm input.txt')
      expect(text).toBe('')
      expect(exit.exitCode).toBe(0)
      const { paths, unmatched } = await new FileOutputReader().match(tree, ['dist/**', 'nothing/**'], { signal })
      expect(unmatched).toEqual(['nothing/**'])
      await new FileOutputWriter().write(join(base, `home${slot}`), new FileOutputReader().read(tree, paths, { signal }), { outputs: ['**', '**/.*'], signal })
      expect(await readFile(join(base, `home${slot}/dist/out.txt`), 'utf8')).toBe('HELLO')
      await engine.removeTree(tree)
    }
    await engine.close?.()
  })
})
