import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { EntriesView } from '../src/view.ts'
import { search, type SearchDocument } from '../src/index.ts'
import { createDevice, pull } from './support.ts'

interface Note extends SearchDocument { id: string }
const note = (id: string, title: string, body = '', tags: string[] = []): Note => ({ id, title, tags, body: () => body })
const ids = (documents: Note[], query: string): string[] => search(documents, query).map(({ document }) => document.id)

const NOTES = [
  note('paseto', 'auth tokens are PASETO', 'We compared JWT and PASETO. Authentication happens at the door.\n', ['auth']),
  note('door', 'the door', 'Whoever knocks must know the secret. Tokens are checked there.', ['network']),
  note('zig', 'build needs zig 0.15', 'The linker of 0.14 crashed.'),
  note('cjk', '構成メモ', 'サーバーは使わない。記憶はすべての端末にある。'),
]

describe('search', () => {
  it('ranks a title above a body, and finds whatever the case', () => {
    expect(ids(NOTES, 'PASETO')).toEqual(['paseto'])
    expect(ids(NOTES, 'tokens')).toEqual(['paseto', 'door'])
  })

  it('puts what holds more of the words first', () => { expect(ids(NOTES, 'door tokens secret')).toEqual(['door', 'paseto']) })

  it('finds words by their beginning, and not by their middle', () => {
    expect(ids(NOTES, 'authent')).toEqual(['paseto'])
    expect(ids(NOTES, 'thenticat')).toEqual([])
  })

  it('finds tags, numbers and scripts without spaces', () => {
    expect(ids(NOTES, 'network')).toEqual(['door'])
    expect(ids(NOTES, '0.15')).toEqual(['zig'])
    expect(ids(NOTES, '記憶')).toEqual(['cjk'])
  })

  it('a word that stands everywhere counts less than a rare one', () => {
    const many = Array.from({ length: 20 }, (_, n) => note(`common${n}`, 'build', 'build build build'))
    expect(ids([...many, note('rare', 'linker', 'x')], 'linker build')[0]).toBe('rare')
  })

  it('shows one line around the first word found, cut between characters', () => {
    const [hit] = search([note('long', 't', `${'😀'.repeat(60)} needle\n\n${'😀'.repeat(90)}`)], 'needle')
    expect(hit?.snippet).toMatch(/^…😀+ needle 😀+…$/u)
    expect(hit?.snippet.isWellFormed()).toBe(true)
  })

  it('takes any query and any text, within its bounds', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.array(fc.string({ unit: 'binary' })), (query, bodies) => {
      const hits = search(bodies.map((body, n) => note(String(n), body, body, [body])), query, { limit: 3 })
      expect(hits.length).toBeLessThanOrEqual(3)
      expect(hits.every(({ score, snippet }) => score >= 0 && snippet.length < 200)).toBe(true)
    }), { numRuns: 60 })
    expect(ids(NOTES, '(.*)+$ [ \\')).toEqual([])
    expect(search(Array.from({ length: 500 }, (_, n) => note(String(n), 'same')), 'same', { limit: 1e9 })).toHaveLength(200)
  })

  it('reads the texts of a stack, edited ones too', async () => {
    const stack = await createDevice(1).open()
    const { id } = await stack.add({ kind: 'note', title: 'one', body: 'the old word' })
    await stack.edit(id, { body: 'the new word' })
    const removed = await stack.add({ kind: 'note', title: 'two', body: 'a new word' })
    await stack.remove(removed.id)
    expect(search(stack.documents(), 'new').map(({ document, snippet }) => [document.id, snippet])).toEqual([[id, 'the new word']])
    expect(search(stack.documents(), 'old')).toEqual([])
    expect(search(stack.documents({ removed: true }), 'new')).toHaveLength(2)
    expect(search(stack.documents({ kind: 'task' }), 'new')).toEqual([])
  })
})

describe('history', () => {
  it('says who did what, newest first, over all devices', async () => {
    const [a, b] = [createDevice(1), createDevice(2)]
    const [one, two] = [await a.open(), await b.open()]
    const { id } = await one.add({ kind: 'note', title: 'first', body: 'x' }, { agent: 'juno' })
    await pull(two, one)
    b.clock.ms += 60_000
    await two.edit(id, { title: 'renamed', body: 'xy' }, {}, { overwrite: true })
    await two.remove(id, { agent: 'ripley' })
    await two.add({ kind: 'task', title: 'other' })
    await pull(one, two)
    const items = one.history()
    expect(items.map(({ change, field, author, entry }) => [change, field, author.device === a.id ? 'a' : 'b', author.agent, entry?.title])).toEqual([
      ['new', null, 'b', undefined, 'other'], ['remove', null, 'b', 'ripley', 'renamed'], ['set', 'title', 'b', undefined, 'renamed'], ['text', 'body', 'b', undefined, 'renamed'], ['new', null, 'a', 'juno', 'renamed'],
    ])
    expect(two.history()).toEqual(items)
    expect(one.history({ entry: id, limit: 2 }).map(({ change }) => change)).toEqual(['remove', 'set'])
    expect(items.every(({ at }, n) => n === 0 || at <= (items[n - 1]?.at ?? ''))).toBe(true)
  })

  it('of one entry names what each change found, where devices wrote side by side', async () => {
    const [one, two] = [await createDevice(1).open(), await createDevice(2).open()]
    const { id, revision } = await one.add({ kind: 'note', title: 't', body: 'x' })
    await pull(two, one)
    const left = await one.edit(id, { title: 'by one' })
    const right = await two.edit(id, { title: 'by two' })
    await pull(one, two)
    const both = [left.revision, right.revision].sort().join('+')
    await one.edit(id, { title: 'of both' })
    const found = new Map(one.history({ entry: id }).map(item => [item.revision, item.before]))
    expect([found.get(revision), found.get(left.revision), found.get(right.revision)]).toEqual([null, revision, revision])
    expect([...found.values()].filter(before => before === both)).toHaveLength(1)
  })
})

describe('a replay', () => {
  it('reads each record once for all revisions, each place of two devices that write side by side as well, and in any order says the same', async () => {
    const [one, two] = [await createDevice(1).open(), await createDevice(2).open()]
    const { id } = await one.add({ kind: 'note', title: 't', body: 'start\n\nend\n' })
    await pull(two, one)
    for (let n = 0; n < 30; n++) {
      for (const [stack, body] of [[one, (now: string) => `${n}\n${now}`], [two, (now: string) => `${now}${n}\n`]] as const) {
        await stack.edit(id, { title: `${n}`, body: body(stack.entry(id)?.body ?? '') }, {}, { overwrite: true })
      }
    }
    await pull(one, two)
    await one.edit(id, { body: 'all new' }, {}, { overwrite: true })
    const items = one.history({ entry: id, limit: 1000 })
    const revisions = items.toReversed().flatMap(({ before, revision }) => before === null || before === undefined ? [revision] : [before, revision])
    const expected = new Map(revisions.map(revision => [revision, one.entryAt(id, revision)]))
    const fold = vi.spyOn(EntriesView.prototype, 'fold')
    const read = async (order: string[]): Promise<number> => {
      fold.mockClear()
      const replay = one.replay(id)
      for (const revision of order) expect(await replay?.at(revision)).toEqual(expected.get(revision))
      return fold.mock.calls.length
    }
    try {
      // 60 records of each device, told by two places of which one goes on to all of them.
      expect(items).toHaveLength(122)
      expect(await read(revisions)).toBeLessThan(2 * items.length)
      await read(revisions.toReversed())
      expect(await one.replay(id)?.at('a'.repeat(16))).toBeUndefined()
    } finally {
      fold.mockRestore()
    }
  })
})
