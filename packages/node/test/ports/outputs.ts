/** What every reader and writer of outputs must do: those on disk, and those in memory that tests of builds use. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { OutputFile, OutputPart } from '@elder-node/protocol'
import type { OutputReader, OutputWriter, SentTree } from '../../src/ports/source.ts'

export interface OutputsAcceptance {
  /** A tree with these regular files and symlinks, and an empty target. */
  make (files: Record<string, string>, symlinks?: string[]): Promise<OutputsPlace>
}

export interface OutputsPlace {
  reader: OutputReader
  writer: OutputWriter
  tree: string
  to: string
  /** What is in the target now. */
  written (): Promise<Record<string, string>>
  /** Puts files into the target. */
  put (files: Record<string, string>): Promise<void>
}

const signal = new AbortController().signal
/** As git names the content 'sent'. */
const ID_OF_SENT = '020543977634e4f4af06c0e0b806bebbf181a5fd'
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const fileOf = (path: string, text: string): OutputFile => ({ path, mode: 0o644, bytes: Buffer.byteLength(text), sha256: sha256(text) })
const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined, (error: { code?: unknown }) => error.code ?? String(error))

async function * stream (parts: OutputPart[]): AsyncGenerator<OutputPart> { yield * parts }

/** As a reader sends one file. */
function sent (path: string, text: string, manifest: OutputFile[] = [fileOf(path, text)]): OutputPart[] {
  const { sha256: _, ...file } = fileOf(path, text)
  return [{ type: 'file', file }, ...(text === '' ? [] : [{ type: 'chunk' as const, data: Buffer.from(text) }]), { type: 'end', manifest }]
}

export function outputsAcceptance (name: string, { make }: OutputsAcceptance): void {
  describe(`${name}: a reader of outputs`, () => {
    test('finds what the globs mean, in order and once, and tells which meant nothing', async () => {
      const { reader, tree } = await make({ 'dist/b.js': '', 'dist/a/c.js': '', 'src/a.ts': '', 'x.json': '' })
      expect(await reader.match(tree, ['dist', '**/*.js', 'x.json', 'nope/**', '../**'], { signal }))
        .toEqual({ paths: ['dist/a/c.js', 'dist/b.js', 'x.json'], unmatched: ['nope/**', '../**'], leftOut: [] })
    })

    test('takes no symlink, and says so', async () => {
      const { reader, tree } = await make({ a: '' }, ['link'])
      expect(await reader.match(tree, ['a', 'link'], { signal }))
        .toEqual({ paths: ['a'], unmatched: ['link'], leftOut: ['the symlink link is left out: outputs are regular files'] })
    })

    test('sends each file with its bytes, and the manifest last', async () => {
      const long = 'x'.repeat(300_000)
      const { reader, tree } = await make({ 'a.txt': 'built', 'empty': '', 'long': long })
      const parts: OutputPart[] = []
      for await (const part of reader.read(tree, ['a.txt', 'empty', 'long'], { signal })) parts.push(part)
      expect(parts.at(-1)).toEqual({ type: 'end', manifest: [fileOf('a.txt', 'built'), fileOf('empty', ''), fileOf('long', long)] })
      expect(parts.filter(({ type }) => type === 'file')).toHaveLength(3)
      expect(Buffer.concat(parts.flatMap(part => part.type === 'chunk' ? [part.data] : [])).toString()).toBe(`built${long}`)
    })

    test('ends at the signal, and refuses what is no file of the tree', async () => {
      const { reader, tree } = await make({ a: '' })
      const over = { signal: AbortSignal.abort(new Error('cancelled')) }
      await expect(reader.match(tree, ['a'], over)).rejects.toThrow('cancelled')
      await expect((async () => { for await (const _part of reader.read(tree, ['a'], over)); })()).rejects.toThrow('cancelled')
      for (const path of ['missing', '../a', '/etc/passwd']) {
        await expect((async () => { for await (const _part of reader.read(tree, [path], { signal })); })()).rejects.toThrow()
      }
    })
  })

  describe(`${name}: a writer of outputs`, () => {
    test('writes what a reader reads, and says what it wrote', async () => {
      const { reader, writer, tree, to, written } = await make({ 'out/a.txt': 'built', 'out/b/c': 'too' })
      const wrote = await writer.write(to, reader.read(tree, ['out/a.txt', 'out/b/c'], { signal }), { outputs: ['out/**'], signal })
      expect(wrote).toEqual([fileOf('out/a.txt', 'built'), fileOf('out/b/c', 'too')])
      expect(await written()).toEqual({ 'out/a.txt': 'built', 'out/b/c': 'too' })
    })

    test('tells what is there of what the globs mean', async () => {
      const { writer, to, put } = await make({})
      expect(await writer.present(to, ['**'], { signal })).toEqual(new Set())
      await put({ 'dist/a.js': '', 'dist/b/c.js': '', 'src/a.ts': '' })
      expect(await writer.present(to, ['dist/**', 'none'], { signal })).toEqual(new Set(['dist/a.js', 'dist/b/c.js']))
    })

    test('leaves what was changed or came since the source was sent, and writes beside it', async () => {
      const built = { edited: 'built', new: 'built', old: 'built', same: 'built', twin: 'built' }
      const { reader, writer, tree, to, put, written } = await make(built)
      await put({ edited: 'sent', same: 'sent', old: 'of an earlier build' })
      const ids = async (paths: string[]): Promise<Map<string, string>> =>
        new Map(paths.filter(path => path === 'edited' || path === 'same').map(path => [path, ID_OF_SENT]))
      const present = writer.present(to, ['**'], { signal })
      const source: SentTree = { root: to, builder: 'mini', ids, present, globsBy: 'person' }
      await source.present
      await put({ edited: 'mine', new: 'mine', twin: 'built' })
      const write = async (): Promise<Array<string | undefined>> => {
        const parts = reader.read(tree, Object.keys(built), { signal })
        return (await writer.write(to, parts, { outputs: ['**'], signal, sent: source })).map(({ beside }) => beside)
      }
      expect(await write()).toEqual(['edited.from-mini', 'new.from-mini', undefined, undefined, undefined])
      const mine = { edited: 'mine', new: 'mine' }
      expect(await written()).toEqual({ ...built, ...mine, 'edited.from-mini': 'built', 'new.from-mini': 'built' })
      expect((await write()).slice(0, 2)).toEqual(['edited.from-mini.2', 'new.from-mini.2'])
    })

    test('for globs of the project itself, replaces what was not sent only as an earlier build left it', async () => {
      const { writer, to, put, written } = await make({})
      await put({ mine: 'mine', twin: 'built' })
      const ids = async (): Promise<Map<string, string>> => new Map()
      const source: SentTree = { root: to, builder: 'mini', ids, present: Promise.resolve(undefined), globsBy: 'project' }
      const write = async (path: string, text: string): Promise<unknown> => {
        const [file] = await writer.write(to, stream(sent(path, text)), { outputs: ['**'], signal, sent: source })
        return file?.kept
      }
      expect([await write('mine', 'built'), await write('new', '1'), await write('new', '2')]).toEqual(['not-ours', undefined, undefined])
      // The same bytes are no proof that a build wrote them.
      expect([await write('twin', 'built'), await write('twin', 'other')]).toEqual([undefined, 'not-ours'])
      await put({ new: 'edited' })
      expect(await write('new', '3')).toBe('not-ours')
      expect(await written()).toMatchObject({ mine: 'mine', twin: 'built', new: 'edited', 'mine.from-mini': 'built' })
    })

    const one = sent('a.txt', 'built')
    const [file, chunk, end] = one as [OutputPart, OutputPart, OutputPart]
    test.each<[string, OutputPart[], string[]]>([
      ['without an end', [file, chunk], ['**']],
      ['with a wrong hash', sent('a.txt', 'built', [{ ...fileOf('a.txt', 'built'), sha256: sha256('other') }]), ['**']],
      ['shorter than it said', [file, end], ['**']],
      ['longer than it said', [file, chunk, chunk, end], ['**']],
      ['with a manifest of another file', sent('a.txt', 'built', [fileOf('b.txt', 'built')]), ['**']],
      ['with a manifest of none', sent('a.txt', 'built', []), ['**']],
      ['with a file after its end', [...one, file], ['**']],
      ['with bytes and no file', [chunk, end], ['**']],
      ['twice', [file, chunk, file, chunk, { type: 'end', manifest: [fileOf('a.txt', 'built'), fileOf('a.txt', 'built')] }], ['**']],
      ['that was not asked for', one, ['dist/**']],
      ['above the target', sent('../a.txt', 'built'), ['**', '../**']],
      ['at an absolute path', sent('/tmp/a.txt', 'built'), ['**', '/**']],
      ['in a repository', sent('.git/hooks/x', 'built'), ['**', '.git/**']],
    ])('a file %s is refused whole: OUTPUT_INVALID, and nothing appears', async (_what, parts, outputs) => {
      const { writer, to, written } = await make({})
      expect(await codeOf(writer.write(to, stream(parts), { outputs, signal }))).toBe('OUTPUT_INVALID')
      expect(await written()).toEqual({})
    })

    test('ends at the signal, and nothing appears', async () => {
      const { writer, to, written } = await make({})
      await expect(writer.write(to, stream(one), { outputs: ['**'], signal: AbortSignal.abort(new Error('cancelled')) })).rejects.toThrow('cancelled')
      expect(await written()).toEqual({})
    })
  })
}
