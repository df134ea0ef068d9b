/** The verbs that look at memory: search, log, verify, and a remote that goes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'
import { FakeNode, MINI, SELF } from '../support/fake-node.ts'

let desk: Desk
let id: string
const initial = new FakeNode().proof
const proof = (over: Partial<FakeNode['proof']>): void => { desk.node.proof = { ...initial, ...over } }

beforeAll(async () => {
  desk = await Desk.open()
  const added = await desk.run(['stack', 'add', 'my-repo', '--kind', 'decision', '--title', 'tokens are PASETO', '--body', 'because of\u001b[2J the door', '--tag', 'auth', '--as', 'juno', '--json'])
  id = String(added.json()[0]?.id)
  await desk.run(['stack', 'add', 'other', '--kind', 'note', '--title', 'tokens elsewhere'])
})
afterAll(async () => { await desk[Symbol.asyncDispose]() })
beforeEach(() => { desk.node.proof = initial })

describe('stack search', () => {
  test('JSON: the hits with their stack, score, snippet, and the entry without its text', async () => {
    const { code, json } = await desk.run(['stack', 'search', 'my-repo', 'tokens', '--json'])
    expect(code).toBe(0)
    expect(json()).toEqual([{
      schema: 'elder/stack-search.v1', query: 'tokens', stack: 'my-repo',
      hits: [{ stack: 'my-repo', score: 1.5, snippet: 'because of\u001b[2J the door', entry: expect.objectContaining({ id, kind: 'decision', title: 'tokens are PASETO', tags: ['auth'] }) as object }],
    }])
    expect(JSON.stringify(json())).not.toContain('"body"')
  })

  test('without a stack outside a worktree: all of them; the name counts only with words behind it', async () => {
    expect((await desk.run(['stack', 'search', 'tokens', '--json'])).json()[0]).toMatchObject({ stack: null, hits: [{ stack: 'my-repo' }, { stack: 'other' }] })
    expect((await desk.run(['stack', 'search', 'my-repo', '--json'])).json()[0]).toMatchObject({ query: 'my-repo', stack: null, hits: [] })
    expect((await desk.run(['stack', 'search', '--all', 'my-repo', 'tokens', '--json'])).json()[0]).toMatchObject({ query: 'my-repo tokens', stack: null })
  })

  test('people see title, author and place; nothing of it moves their cursor', async () => {
    const { stdout } = await desk.run(['stack', 'search', 'my-repo', 'tokens'])
    expect(stdout.split('\n')).toEqual([`${id.slice(0, 12)}  tokens are PASETO`, expect.stringMatching(/^ {2}decision {2}my-repo {2}juno@laptop {2}\S+ {2}#auth$/) as string, '  because of·[2J the door', ''])
    expect((await desk.run(['stack', 'search', 'tokens', '-q'])).stdout.split('\n')[0]).toBe(id)
    expect((await desk.run(['stack', 'search', 'nothing-like-it'])).stdout).toBe('nothing in any stack has these words\n')
  })

  test.each([[['stack', 'search', ' ']], [['stack', 'search', 'x', '--limit', 'many']], [['stack', 'search', 'x', '--limit', '0']], [['stack', 'search']]])('%j is a usage error', async (argv) => {
    expect((await desk.run(argv)).code).toBe(2)
  })
})

describe('stack log', () => {
  test('NDJSON, one document a change', async () => {
    const { json } = await desk.run(['stack', 'log', 'my-repo', '--json'])
    expect(json()).toEqual([{ schema: 'elder/stack-log.v1', stack: 'my-repo', at: expect.any(String) as string, author: { device: SELF, agent: 'juno' }, change: 'new', field: null, entry: { id, kind: 'decision', title: 'tokens are PASETO' }, revision: 'revision0', feed: expect.any(String) as string, seq: 1 }])
  })

  test('people read when, who, what and where', async () => {
    const { stdout } = await desk.run(['stack', 'log', 'my-repo', '--limit', '1'])
    expect(stdout.split('\n')[1]).toMatch(new RegExp(`juno@laptop {2}added {2}${id.slice(0, 12)} {2}tokens are PASETO$`))
    expect((await desk.run(['stack', 'log', 'typo'])).stderr).toContain('fix: elder-node stack add typo')
  })
})

describe('stack verify', () => {
  test('what holds is exit 0 and says who vouches', async () => {
    proof({ remotes: [{ url: 'https://git.example/m.git', state: 'same', commit: 'c'.repeat(40), lacks: 0, message: null }] })
    const { code, stdout } = await desk.run(['stack', 'verify', 'my-repo'])
    expect(code).toBe(0)
    expect(stdout.split('\n')).toEqual([
      'ok  my-repo   1 entry from 2 records of 0 feeds, 2 signatures', expect.stringMatching(/^digest {2}[0-9a-f]{64}$/) as string, 'feeds   feeds',
      'devices', '  this device  laptop', '  same         mini', 'remotes', '  same         https://git.example/m.git @ cccccccccccc', '',
    ])
  })

  test('what lies beyond a cut is no fault, and is told with the command that brings it back', async () => {
    proof({ beyond: [{ device: MINI, records: 2 }] })
    const { code, stdout } = await desk.run(['stack', 'verify', 'my-repo'])
    expect(code).toBe(0)
    const back = `to bring back: elder-node evict ${MINI.id.slice(0, 12)} --keep`
    expect(stdout).toContain(`beyond the cut of an evicted device, kept aside\n  2 records of mini   ${back}\n`)
  })

  test('what does not hold is exit 1 and says what is wrong and what to do', async () => {
    const problem = { code: 'FEED_DAMAGED', message: 'On this disk, the feed x.', fix: 'Look after the disk.' }
    proof({ problems: [problem], devices: [{ ...SELF, state: 'self' }, { ...MINI, state: 'offline' }] })
    const { code, stdout } = await desk.run(['stack', 'verify', 'my-repo'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^wrong {2}my-repo/)
    expect(stdout).toContain('  offline      mini\n')
    expect(stdout).toContain('! On this disk, the feed x.   fix: Look after the disk.\n')
    const json = await desk.run(['stack', 'verify', 'my-repo', '--json'])
    expect(json.code).toBe(1)
    expect(json.json()[0]).toMatchObject({ schema: 'elder/stack-verify.v1', ok: false, stack: 'my-repo', problems: [problem], devices: [{ state: 'self' }, { state: 'offline' }] })
  })
})

describe('stack remote rm', () => {
  test('takes the remote away, by stack or of all; one that is not there is an error', async () => {
    for (const words of [['my-repo', 'http://127.0.0.1/a.git'], ['--all', 'http://127.0.0.1/b.git']]) await desk.run(['stack', 'remote', 'add', ...words])
    expect((await desk.run(['stack', 'remote', 'rm', 'my-repo', 'http://127.0.0.1/a.git', '--json'])).json()).toEqual([{ schema: 'elder/stack-remote-rm.v1', removed: { stack: 'my-repo', url: 'http://127.0.0.1/a.git' } }])
    expect((await desk.run(['stack', 'remote', 'rm', '--all', 'http://127.0.0.1/b.git'])).stdout).toContain('every stack is no longer mirrored to http://127.0.0.1/b.git')
    expect((await desk.run(['stack', 'remote', 'rm', 'my-repo', 'http://127.0.0.1/a.git', '--json'])).json()[0]).toMatchObject({ error: { code: 'NO_SUCH_REMOTE' } })
    expect((await desk.run(['stack', 'remote', 'rm', 'my-repo'])).code).toBe(2)
  })
})

test('stack show: short ids that tell apart, the newest n, ids alone with -q', async () => {
  await desk.run(['stack', 'add', 'my-repo', '--kind', 'note', '--title', 'second'])
  const { stdout } = await desk.run(['stack', 'show', 'my-repo'])
  const shown = stdout.trimEnd().split('\n').slice(1).map((line) => line.split(' ')[0])
  expect(new Set(shown).size).toBe(2)
  expect((await desk.run(['stack', 'show', 'my-repo', '--limit', '1', '-q'])).stdout).toMatch(/^\w{26}\n$/)
  const one = await desk.run(['stack', 'show', 'my-repo', '--limit', '1'])
  expect(one.stdout).toContain('second')
  expect(one.stderr).toBe('the newest 1 of 2\n')
  expect((await desk.run(['stack', 'show', 'my-repo', shown[0] ?? ''])).stdout).toContain('because of')
})
