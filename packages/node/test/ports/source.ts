/** What every reader of sources and every builder's cache must do: those through git, and those in memory of tests. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { codeOf, LIMITS } from '@elder-node/protocol'
import type { Snapshot, SourceCache, SourceReader } from '../../src/ports/source.ts'

export interface SourcePlace {
  reader: SourceReader
  cache: SourceCache
  /** A new folder with these files. */
  folder (files: Record<string, string>): Promise<string>
  /** Writes files into a folder; null removes one. */
  put (dir: string, files: Record<string, string | null>): Promise<void>
  /** A new empty folder for a checkout. */
  tree (): Promise<string>
  filesIn (dir: string): Promise<Record<string, string>>
}

export interface SourceAcceptance {
  /** Removed when the test ends. */
  make (init?: { packBytesMax?: number }): Promise<SourcePlace>
}

const signal = new AbortController().signal
const ME = 'me'
const FILES = { 'a.txt': 'a', 'b/c.txt': 'c', empty: '' }
const enough = new Error('enough')
const over = { signal: AbortSignal.abort(enough) }

/** As git names the contents 'c' and ''. */
const ID_OF = { c: '3410062ba67c5ed59b854387a8bc0ec012479368', empty: 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391' }

const failure = async (promise: Promise<unknown>): Promise<unknown> =>
  await promise.then(() => undefined, (error: unknown) => error)
const codeOfFailure = async (promise: Promise<unknown>): Promise<string | undefined> => codeOf(await failure(promise))

async function * parts (bytes: Uint8Array, end?: Error): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1_000) yield bytes.subarray(at, at + 1_000)
  if (end !== undefined) throw end
}

async function packed (reader: SourceReader, snapshot: Snapshot, have: string[] = []): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.pack(snapshot, have, { signal })) {
    expect(chunk.length).toBeLessThanOrEqual(LIMITS.chunkBytesMax)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

export function sourceAcceptance (name: string, { make }: SourceAcceptance): void {
  const text = async (reader: SourceReader, snapshot: Snapshot, path: string): Promise<string | undefined> => {
    const bytes = await reader.read(snapshot, path, { signal })
    return bytes === undefined ? undefined : Buffer.from(bytes).toString()
  }

  describe(`${name}: a reader of sources`, () => {
    test('takes what is there now, and a snapshot stays what it was', async () => {
      const { reader, folder, put } = await make()
      const dir = await folder(FILES)
      const first = await reader.snapshot(dir, { signal })
      expect(first).toMatchObject({ cwd: '.', root: dir, ancestors: [] })
      expect(first.commit).toMatch(/^[0-9a-f]{40}$/)
      await put(dir, { 'a.txt': 'changed', empty: null })
      const second = await reader.snapshot(dir, { signal })
      expect(second).toEqual({ ...first, commit: second.commit, ancestors: [first.commit] })
      expect(second.commit).not.toBe(first.commit)
      expect([await text(reader, first, 'a.txt'), await text(reader, second, 'a.txt')]).toEqual(['a', 'changed'])
      await put(dir, { 'a.txt': 'a', empty: '' })
      expect(await reader.snapshot(dir, { signal })).toEqual({ ...first, ancestors: [second.commit] })
    })

    test('the same files elsewhere are the same commit, of another project', async () => {
      const { reader, folder } = await make()
      const one = await reader.snapshot(await folder(FILES), { signal })
      const two = await reader.snapshot(await folder(FILES), { signal })
      expect([two.commit, two.ancestors]).toEqual([one.commit, []])
      expect(two.project).not.toBe(one.project)
    })

    test('reads files of the snapshot as copies, and names their contents as git does', async () => {
      const { reader, folder } = await make()
      const snapshot = await reader.snapshot(await folder(FILES), { signal })
      const bytes = await reader.read(snapshot, 'b/c.txt', { signal }) as Uint8Array
      bytes.fill(0)
      expect(await text(reader, snapshot, 'b/c.txt')).toBe('c')
      expect(await text(reader, snapshot, 'empty')).toBe('')
      for (const path of ['b', 'missing']) expect(await text(reader, snapshot, path)).toBeUndefined()
      const ids = await reader.ids(snapshot, ['b/c.txt', 'b', 'empty', 'missing'], { signal })
      expect([...ids]).toEqual([['b/c.txt', ID_OF.c], ['empty', ID_OF.empty]])
    })

    test('what is no folder is NOT_A_FOLDER', async () => {
      const { reader, folder } = await make()
      expect(await codeOfFailure(reader.snapshot(`${await folder(FILES)}/missing`, { signal }))).toBe('NOT_A_FOLDER')
    })

    test('packs what the builder lacks, in bounded chunks, and says before about how much that is', async () => {
      const { reader, folder, put } = await make()
      const dir = await folder({ ...FILES, large: randomBytes(400_000).toString('base64') })
      const first = await reader.snapshot(dir, { signal })
      const whole = (await packed(reader, first)).length
      expect(whole).toBeGreaterThan(LIMITS.chunkBytesMax)
      await put(dir, { 'a.txt': 'changed' })
      const second = await reader.snapshot(dir, { signal })
      expect((await packed(reader, second, ['no commit', 'f'.repeat(40), first.commit])).length).toBeLessThan(2_000)
      expect(await packed(reader, second, [second.commit])).toEqual(new Uint8Array())
      const told = await reader.packBytes(first, [], { signal }) as number
      expect(told / whole).toBeGreaterThan(0.5)
      expect(told / whole).toBeLessThan(2)
      expect(await reader.packBytes(second, [first.commit], { signal })).toBeLessThan(2_000)
      expect(await reader.packBytes({ ...second, commit: 'f'.repeat(40) }, [], { signal })).toBeUndefined()
    })

    test('ends at the signal, with its reason', async () => {
      const { reader, folder } = await make()
      const dir = await folder(FILES)
      const snapshot = await reader.snapshot(dir, { signal })
      const calls: Array<() => Promise<unknown>> = [
        () => reader.snapshot(dir, over), () => reader.packBytes(snapshot, [], over),
        () => reader.read(snapshot, 'a.txt', over), () => reader.ids(snapshot, ['a.txt'], over),
        () => reader.pack(snapshot, [], over)[Symbol.asyncIterator]().next(),
      ]
      for (const call of calls) expect(await failure(call())).toBe(enough)
    })
  })

  describe(`${name}: a builder's cache`, () => {
    test('writes what was sent, whole or against what it has, for one owner and project', async () => {
      const { reader, cache, folder, put, tree, filesIn } = await make()
      const dir = await folder(FILES)
      const first = await reader.snapshot(dir, { signal })
      const { project } = first
      await cache.receive(ME, project, first.commit, parts(await packed(reader, first)), { signal })
      await put(dir, { 'a.txt': 'changed', empty: null, new: 'n' })
      const second = await reader.snapshot(dir, { signal })
      const asked = [second.commit, 'f'.repeat(40), first.commit]
      const have = await cache.have(ME, project, asked, { signal })
      expect(have).toEqual([first.commit])
      await cache.receive(ME, project, second.commit, parts(await packed(reader, second, have)), { signal })
      expect(await cache.have(ME, project, asked, { signal })).toEqual([second.commit, first.commit])
      const changed = { 'a.txt': 'changed', 'b/c.txt': 'c', new: 'n' }
      for (const [{ commit }, files] of [[first, FILES], [second, changed]] as const) {
        const to = await tree()
        await cache.checkout(ME, project, commit, to, { signal })
        expect(await filesIn(to)).toEqual(files)
      }
      for (const [owner, of] of [['other', project], [ME, 'other']] as const) {
        expect(await cache.have(owner, of, asked, { signal })).toEqual([])
        const writing = cache.checkout(owner, of, first.commit, await tree(), { signal })
        expect(await codeOfFailure(writing)).toBe('SOURCE_BROKEN')
      }
    })

    test('takes one commit from two at once', async () => {
      const { reader, cache, folder, tree, filesIn } = await make()
      const snapshot = await reader.snapshot(await folder(FILES), { signal })
      const { project, commit } = snapshot
      const pack = await packed(reader, snapshot)
      await Promise.all([1, 2].map(() => cache.receive(ME, project, commit, parts(pack), { signal })))
      const to = await tree()
      await cache.checkout(ME, project, commit, to, { signal })
      expect(await filesIn(to)).toEqual(FILES)
    })

    test('refuses a pack that is cut, empty, foreign, another or without its base, and takes the next', async () => {
      const { reader, cache, folder, put } = await make()
      const dir = await folder({ ...FILES, noise: randomBytes(3_000).toString('hex') })
      const first = await reader.snapshot(dir, { signal })
      await put(dir, { 'a.txt': 'changed' })
      const second = await reader.snapshot(dir, { signal })
      const { project, commit } = second
      const [whole, other] = [await packed(reader, second), await packed(reader, first)]
      const thin = await packed(reader, second, [first.commit])
      const receive = (bytes: Uint8Array, as = commit, end?: Error): Promise<void> =>
        cache.receive(ME, project, as, parts(bytes, end), { signal })
      const half = whole.subarray(0, whole.length / 2)
      for (const bytes of [half, new Uint8Array(), Buffer.from('no pack'), other, thin]) {
        expect(await codeOfFailure(receive(bytes))).toBe('SOURCE_BROKEN')
      }
      expect(await codeOfFailure(receive(whole, '../second'))).toBe('SOURCE_INVALID')
      expect(await failure(receive(whole.subarray(0, 1_000), commit, enough))).toBe(enough)
      expect(await cache.have(ME, project, [first.commit, commit], { signal })).toEqual([])
      await receive(whole)
      expect(await cache.have(ME, project, [commit], { signal })).toEqual([commit])
    })

    test('more than the bound is SOURCE_TOO_LARGE, here and there', async () => {
      const files = { noise: randomBytes(3_000).toString('hex') }
      const [unbounded, bounded] = [await make(), await make({ packBytesMax: 2_000 })]
      const sent = await unbounded.reader.snapshot(await unbounded.folder(files), { signal })
      const pack = await packed(unbounded.reader, sent)
      const receiving = bounded.cache.receive(ME, sent.project, sent.commit, parts(pack), { signal })
      expect(await codeOfFailure(receiving)).toBe('SOURCE_TOO_LARGE')
      const own = await bounded.reader.snapshot(await bounded.folder(files), { signal })
      expect(await codeOfFailure(packed(bounded.reader, own))).toBe('SOURCE_TOO_LARGE')
    })

    test('writes no tree that is larger than it may be, however small its pack is', async () => {
      const { reader, cache, folder, filesIn } = await make()
      const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, 'a'.repeat(20_000)]))
      const { project, commit } = await reader.snapshot(await folder(files), { signal }).then(async snapshot => {
        await cache.receive(ME, snapshot.project, snapshot.commit, parts(await packed(reader, snapshot)), { signal })
        return snapshot
      })
      const tree = await folder({})
      expect(await codeOfFailure(cache.checkout(ME, project, commit, tree, { signal, bytesMax: 500_000 }))).toBe('SOURCE_TOO_LARGE')
      expect(await filesIn(tree)).toEqual({})
      await cache.checkout(ME, project, commit, tree, { signal, bytesMax: 1_000_000 })
      expect(await filesIn(tree)).toEqual(files)
    })

    test('writes only what it has, and only into an empty folder', async () => {
      const { reader, cache, folder, filesIn } = await make()
      const snapshot = await reader.snapshot(await folder(FILES), { signal })
      const { project, commit } = snapshot
      await cache.receive(ME, project, commit, parts(await packed(reader, snapshot)), { signal })
      const taken = await folder({ mine: 'mine' })
      expect(await codeOfFailure(cache.checkout(ME, project, commit, taken, { signal }))).toBe('BUILDER_FAILED')
      expect(await codeOfFailure(cache.checkout(ME, project, 'f'.repeat(40), taken, { signal }))).toBe('SOURCE_BROKEN')
      expect(await filesIn(taken)).toEqual({ mine: 'mine' })
    })

    test('ends at the signal, with its reason, also while a sender says nothing more', async () => {
      const { reader, cache, folder, tree } = await make()
      const snapshot = await reader.snapshot(await folder(FILES), { signal })
      const { project, commit } = snapshot
      const pack = await packed(reader, snapshot)
      expect(await failure(cache.receive(ME, project, commit, parts(pack), over))).toBe(enough)
      const silent = Promise.withResolvers<never>()
      const caller = new AbortController()
      const stuck = async function * (): AsyncGenerator<Uint8Array> {
        yield pack
        setImmediate(() => { caller.abort(enough) })
        await silent.promise
      }
      expect(await failure(cache.receive(ME, project, commit, stuck(), { signal: caller.signal }))).toBe(enough)
      expect(await cache.have(ME, project, [commit], { signal })).toEqual([])
      await cache.receive(ME, project, commit, parts(pack), { signal })
      expect(await failure(cache.have(ME, project, [commit], over))).toBe(enough)
      expect(await failure(cache.checkout(ME, project, commit, await tree(), over))).toBe(enough)
    })
  })
}
