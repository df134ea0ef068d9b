/**
 * What every {@link GitMirror} must do. Run it against each remote an implementation claims to speak to:
 *
 * ```ts
 * gitMirrorAcceptance({ describe, it, expect }, 'native git over file://', async () => ({ url, open, close }))
 * ```
 */
import { utf8, fromUtf8 } from '@elder-node/protocol'
import type { BlobId, Commit, GitMirror, TreeFile } from '../git/port.ts'

/** The part of vitest, jest or chai-like runners the suite uses. */
export interface GitSuite {
  describe (name: string, body: () => void): void
  it (name: string, body: () => Promise<void>): void
  expect (value: unknown): { toBe (wanted: unknown): void, toEqual (wanted: unknown): void }
}

/** An empty remote, and fresh clones of it: each `open` has a cache of its own. */
export interface GitFixture {
  open (): Promise<GitMirror>
  close (): Promise<void>
}

const options = { signal: new AbortController().signal }
const NEW_YEAR_MS = 1_767_225_600_000

export function gitMirrorAcceptance ({ describe, it, expect }: GitSuite, name: string, factory: () => Promise<GitFixture>): void {
  const using = async (body: (fixture: GitFixture) => Promise<void>): Promise<void> => {
    const fixture = await factory()
    try {
      await body(fixture)
    } finally {
      await fixture.close()
    }
  }

  describe(`GitMirror: ${name}`, () => {
    it('sees no branch on an empty remote', () => using(async fixture => {
      expect(await (await fixture.open()).fetchTip(options)).toBe(undefined)
    }))

    it('shows another cache what was pushed, byte for byte', () => using(async fixture => {
      const files = { 'elder.json': '{}\n', 'stacks/a/entries/note/x.md': 'no newline at the end', 'stacks/a/raw': '\0\r\n\u00ff', empty: '' }
      const [writer, reader] = [await fixture.open(), await fixture.open()]
      const commit = await write(writer, undefined, files)
      expect(await writer.push(commit, options)).toBe('ok')
      expect(await reader.fetchTip(options)).toBe(commit)
      expect(await contentOf(reader, commit)).toEqual(files)
    }))

    it('changes, adds and deletes on the fetched tip only', () => using(async fixture => {
      const git = await fixture.open()
      const first = await write(git, undefined, { keep: '1', change: '1', 'folder/drop': '1' })
      await git.push(first, options)
      const second = await write(git, first, { change: '2', add: '2', 'folder/drop': null })
      expect(await git.push(second, options)).toBe('ok')
      expect(await contentOf(git, second)).toEqual({ keep: '1', change: '2', add: '2' })
      expect(await git.isAncestor(first, second, options)).toBe(true)
      expect(await git.isAncestor(second, first, options)).toBe(false)
      expect(await git.isAncestor('0'.repeat(40) as Commit, second, options)).toBe(false)
    }))

    it('names a blob as git does, before it is written', () => using(async fixture => {
      const git = await fixture.open()
      expect(git.blobId(utf8('hello\n'))).toBe('ce013625030ba8dba906f756967f9e9ca394464a' as BlobId)
      const commit = await write(git, undefined, { a: 'some text' })
      expect((await git.readTree(commit, options)).map(file => file.blob)).toEqual([git.blobId(utf8('some text'))])
    }))

    it('is rejected when the branch moved, and succeeds on the new tip: nothing of the other is lost', () => using(async fixture => {
      const [a, b] = [await fixture.open(), await fixture.open()]
      const root = await write(a, undefined, { root: '1' })
      await a.push(root, options)
      await b.fetchTip(options)
      expect(await a.push(await write(a, root, { a: '1' }), options)).toBe('ok')
      expect(await b.push(await write(b, root, { b: '1' }), options)).toBe('rejected')
      const tip = await b.fetchTip(options)
      const joined = await write(b, tip, { b: '1' })
      expect(await b.push(joined, options)).toBe('ok')
      expect(await contentOf(b, joined)).toEqual({ root: '1', a: '1', b: '1' })
    }))

    it('is rejected when two create the branch at once', () => using(async fixture => {
      const [a, b] = [await fixture.open(), await fixture.open()]
      await b.fetchTip(options)
      expect(await a.push(await write(a, undefined, { a: '1' }), options)).toBe('ok')
      expect(await b.push(await write(b, undefined, { b: '1' }), options)).toBe('rejected')
    }))

    it('stops at once when its signal aborts, with the signal\'s reason', () => using(async fixture => {
      const git = await fixture.open()
      const reason = new Error('enough')
      expect(await git.fetchTip({ signal: AbortSignal.abort(reason) }).catch((error: unknown) => error)).toBe(reason)
    }))
  })
}

function write (git: GitMirror, parent: Commit | undefined, files: Record<string, string | null>): Promise<Commit> {
  const changes = Object.entries(files).map(([path, text]) => ({ path, content: text === null ? null : utf8(text) }))
  return git.commitTree({ parent, changes, message: 'test', atMs: NEW_YEAR_MS }, options)
}

async function contentOf (git: GitMirror, commit: Commit): Promise<Record<string, string>> {
  const files: TreeFile[] = await git.readTree(commit, options)
  const out: Record<string, string> = {}
  for await (const { file, content } of git.readBlobs(files, options)) out[file.path] = fromUtf8(content)
  return out
}
