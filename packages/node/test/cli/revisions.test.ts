/**
 * Nobody's words vanish in silence: edits from a stale read merge or are refused, and every earlier text can be read.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { Office, type Seat } from '../support/memory-desk.ts'

interface Shown { id: string, revision: string, body: string, title: string, supersedes: string | null, supersededBy: string | null }

let office: Office
let laptop: Seat
let mini: Seat
let id: string
/** What the laptop read before anybody changed it. */
let read: Shown

const entry = async (seat: Seat, ...more: string[]): Promise<Shown> => ((await seat.json(['stack', 'show', 'shop', id, ...more]))['entries'] as Shown[])[0] as Shown
/** Until both show the same text. */
const agree = async (body: string): Promise<void> => { await eventually(async () => { for (const seat of [laptop, mini]) expect((await entry(seat)).body).toBe(body) }) }
const edit = (seat: Seat, body: string, ...more: string[]): Promise<Record<string, unknown>> => seat.json(['stack', 'edit', 'shop', id, '--body', body, ...more])

beforeEach(async () => {
  office = new Office()
  laptop = await office.seat()
  mini = await office.seat()
  id = String((await laptop.json(['stack', 'add', 'shop', '--kind', 'note', '--title', 'plan', '--body', 'one\ntwo\nthree\n']))['id'])
  await eventually(async () => { expect((await entry(mini)).body).toBe('one\ntwo\nthree\n') })
  read = await entry(laptop)
})
afterEach(async () => { await office[Symbol.asyncDispose]() })

describe('an edit from a stale read', () => {
  beforeEach(async () => {
    expect(await edit(mini, 'one\ntwo, by mini\nthree\n', '--base', read.revision)).toMatchObject({ id })
    await agree('one\ntwo, by mini\nthree\n')
  })

  test('without a base is refused: the words of the other stay, and the difference, the revision and the way to merge are told', async () => {
    const now = await entry(laptop)
    const refused = await laptop.run(['stack', 'edit', 'shop', id, '--body', 'one\ntwo\nthree, by laptop\n'])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('-two, by mini\n+two\n-three\n+three, by laptop\n')
    expect(refused.stderr).toContain(`fix: elder-node stack edit shop ${id} --base ${now.revision} --body -`)
    expect(await edit(laptop, 'one\ntwo\nthree, by laptop\n'))
      .toMatchObject({ error: { code: 'STALE_EDIT', data: { entry: id, revision: now.revision, difference: expect.stringContaining('-two, by mini') as string } } })
    await agree('one\ntwo, by mini\nthree\n')
  })

  test('with the revision that it was made from merges: both words are there', async () => {
    expect(await edit(laptop, 'one\ntwo\nthree, by laptop\n', '--base', read.revision))
      .toMatchObject({ entry: { body: 'one\ntwo, by mini\nthree, by laptop\n' } })
    await agree('one\ntwo, by mini\nthree, by laptop\n')
    expect(await edit(laptop, 'one\ntwo, by mini\nthree, by laptop again\n'), 'an edit after one\'s own needs no base')
      .toMatchObject({ id })
    await agree('one\ntwo, by mini\nthree, by laptop again\n')
  })

  test('--overwrite insists', async () => {
    await edit(laptop, 'all new\n', '--overwrite')
    await agree('all new\n')
  })

  test('of another agent on the same device is refused as well', async () => {
    await edit(mini, 'by juno\n', '--overwrite', '--as', 'juno')
    expect(await edit(mini, 'by otter\n', '--as', 'otter')).toMatchObject({ error: { code: 'STALE_EDIT' } })
    expect(await edit(mini, 'by juno again\n', '--as', 'juno')).toMatchObject({ id })
  })

  test('two at one time merge, and both can be a base', async () => {
    const base = (await entry(laptop)).revision
    office.mesh.cut(laptop.node, mini.node)
    await edit(laptop, 'zero\none\ntwo, by mini\nthree\n', '--base', base)
    await edit(mini, 'one\ntwo, by mini\nthree\nfour\n', '--base', base)
    await office.mesh.connectAll()
    await agree('zero\none\ntwo, by mini\nthree\nfour\n')
    const both = (await entry(laptop)).revision
    expect(both).toMatch(/^[a-z2-7]{16}\+[a-z2-7]{16}$/)
    expect((await entry(mini)).revision).toBe(both)
    expect(await edit(mini, 'zero\none\ntwo, by mini\nthree\nfour\nfive\n', '--base', both)).toMatchObject({ id })
    await agree('zero\none\ntwo, by mini\nthree\nfour\nfive\n')
  })
})

test('a title that was changed since the base is not replaced', async () => {
  await mini.run(['stack', 'edit', 'shop', id, '--title', 'by mini'])
  await eventually(async () => { expect((await entry(laptop)).title).toBe('by mini') })
  expect(await laptop.json(['stack', 'edit', 'shop', id, '--title', 'by laptop', '--base', read.revision]))
    .toMatchObject({ error: { code: 'STALE_EDIT', data: { difference: '-title: "by mini"\n+title: "by laptop"' } } })
  expect(await laptop.json(['stack', 'edit', 'shop', id, '--title', 'by laptop', '--base', (await entry(laptop)).revision]))
    .toMatchObject({ entry: { title: 'by laptop' } })
})

test('a revision that is none: NO_SUCH_REVISION, exit 1; what no revision can look like: exit 2', async () => {
  expect(await edit(laptop, 'x\n', '--base', 'a'.repeat(16))).toMatchObject({ error: { code: 'NO_SUCH_REVISION' } })
  expect(await laptop.json(['stack', 'show', 'shop', id, '--at', 'a'.repeat(16)]))
    .toMatchObject({ error: { code: 'NO_SUCH_REVISION', fix: expect.stringContaining(`stack log shop --entry ${id}`) as string } })
  expect((await laptop.run(['stack', 'edit', 'shop', id, '--body', 'x', '--base', 'No!'])).code).toBe(2)
  expect((await laptop.run(['stack', 'edit', 'shop', id, '--body', 'x', '--base', read.revision, '--overwrite'])).code)
    .toBe(2)
  expect((await laptop.run(['stack', 'show', 'shop', '--at', read.revision])).code).toBe(2)
})

test('stack show --at and stack log --entry: every text that ever was, and what each change did', async () => {
  await edit(mini, 'one\nthree\n', '--base', read.revision, '--as', 'juno')
  await agree('one\nthree\n')
  await laptop.run(['stack', 'edit', 'shop', id, '--title', 'the plan'])
  expect(await entry(laptop, '--at', read.revision))
    .toMatchObject({ body: 'one\ntwo\nthree\n', title: 'plan', revision: read.revision })
  const changes = (await laptop.run(['stack', 'log', 'shop', '--entry', id, '--json'])).json()
  expect(changes.map(({ change, difference }) => [change, difference])).toEqual([
    ['set', '-title: "plan"\n+title: "the plan"'], ['text', '@@ -1,3 +1,2 @@\n one\n-two\n three'], ['new', '@@ -0,0 +1,3 @@\n+one\n+two\n+three'],
  ])
  for (const { revision } of changes) expect((await entry(laptop, '--at', String(revision))).id).toBe(id)
  const { stdout } = await laptop.run(['stack', 'log', 'shop', '--entry', id])
  expect(stdout).toContain('juno@')
  expect(stdout)
    .toContain(`revision ${String(changes[1]?.['revision'])}\n  @@ -1,3 +1,2 @@\n   one\n  -two\n   three\n`)
  expect((await laptop.run(['stack', 'show', 'shop', id])).stdout)
    .toContain(`revision ${(await entry(laptop)).revision}`)
})

test('an entry says which one replaces it', async () => {
  const { id: next } = await mini.json(['stack', 'add', 'shop', '--kind', 'note', '--title', 'another plan', '--supersedes', id])
  await eventually(async () => { expect(await entry(laptop)).toMatchObject({ supersededBy: next }) })
  const { hits } = await laptop.json(['stack', 'search', 'shop', 'plan']) as { hits: Array<{ entry: Shown }> }
  expect(Object.fromEntries(hits.map(hit => [hit.entry.id, hit.entry.supersededBy])))
    .toEqual({ [id]: next, [String(next)]: null })
  await mini.run(['stack', 'rm', 'shop', String(next)])
  await eventually(async () => { expect(await entry(laptop)).toMatchObject({ supersededBy: null }) })
})

test('the library has the same: base, overwrite, at', async () => {
  const stack = mini.node.stacks.open('shop')
  await expect(stack.edit(id, { body: 'mine\n' })).rejects.toMatchObject({ code: 'STALE_EDIT' })
  expect(await stack.edit(id, { body: 'one\ntwo\nthree\nfour\n' }, { base: read.revision }))
    .toMatchObject({ body: 'one\ntwo\nthree\nfour\n', supersededBy: null })
  expect((await stack.get(id, { at: read.revision })).body).toBe('one\ntwo\nthree\n')
})

describe('a removed entry', () => {
  const list = async (seat: Seat): Promise<unknown> => (await seat.json(['stack', 'show', 'shop']))['entries']

  test('takes no edit, is told by show, and comes back by --undo', async () => {
    expect(await laptop.json(['stack', 'rm', 'shop', id])).toMatchObject({ id, removed: true })
    const fix = `elder-node stack rm shop ${id} --undo   (brings it back; then edit it)`
    for (const change of [['--title', 'x'], ['--body', 'x', '--base', read.revision]]) {
      expect(await laptop.json(['stack', 'edit', 'shop', id, ...change])).toMatchObject({ error: { code: 'ENTRY_REMOVED', fix } })
    }
    expect(await entry(laptop)).toMatchObject({ removed: true, title: 'plan' })
    expect((await laptop.run(['stack', 'show', 'shop', id])).stdout).toContain(`elder-node stack rm shop ${id} --undo brings it back`)
    await eventually(async () => { expect(await list(mini)).toEqual([]) })
    expect(await mini.json(['stack', 'rm', 'shop', id, '--undo'])).toMatchObject({ id, removed: false })
    await eventually(async () => { expect(await list(laptop)).toMatchObject([{ id, title: 'plan' }]) })
    expect(await laptop.json(['stack', 'edit', 'shop', id, '--title', 'x'])).toMatchObject({ entry: { title: 'x' } })
  })
})
