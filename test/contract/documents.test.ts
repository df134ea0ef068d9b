/**
 * Every JSON document that the command line prints, by shape: the files in shapes/ are what scripts may rely on, and a change to one is
 * a change of the product. Each document carries its schema; a stream is one document per line.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Lab, must, project, until } from '../scenarios/support.ts'
import type { Document, Node } from '../scenarios/support.ts'
import { shapeOf } from './shape.ts'

const lab = new Lab()
let desk: Node
let mini: Node
let source: string
let note: string
let remote: string

afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  desk = await lab.join('desk')
  mini = await lab.admit('mini', desk, { slots: 1 })
  await desk.sees('desk', 'mini')
  source = project(lab, 'source', { 'file.txt': 'text\n' })
  remote = join(lab.temp, 'remote.git')
  execFileSync('git', ['init', '-q', '--bare', remote])
  note = await desk.note('notes', 'a note', 'the body\n')
})

/** The documents of a command that succeeds; each names its schema. */
async function documents (words: string[], { on = desk, exit = 0, stdin = '' }: { on?: Node, exit?: number, stdin?: string } = {}): Promise<Document[]> {
  const { code, command } = await lab.run(on.dir, words, { stdin })
  expect(code, command.stdout + command.stderr).toBe(exit)
  for (const document of command.documents) expect(document['schema']).toMatch(/^elder\/[a-z-]+\.v1$/)
  return command.documents
}

async function matches (name: string, documents: unknown[]): Promise<void> {
  await expect(`${shapeOf(documents)}\n`).toMatchFileSnapshot(`shapes/${name}.txt`)
}

/** One file for each kind of event of a stream. */
async function matchesByEvent (name: string, documents: Document[]): Promise<void> {
  for (const event of new Set(documents.map(({ event }) => must(event, 'it is an event')))) {
    await matches(`${name}.${event}`, documents.filter(document => document.event === event))
  }
}

test('join: ready', async () => { await matches('join.ready', [desk.process.documents[0], mini.process.documents[0]]) })
test('invite', async () => {
  const [invited] = await documents(['invite', '--role', 'member', '--expires', '5m'])
  expect(invited).toMatchObject({ schema: 'elder/invite.v1', role: 'member' })
  await matches('invite', [invited])
})
test('status --watch is a stream of the same documents', async () => {
  const command = desk.begin(['status', '--watch'])
  await until('two pictures', () => command.documents.length > 1)
  await command.end('SIGINT')
  for (const document of command.documents) expect(document).toMatchObject({ schema: 'elder/status.v1', mesh: { id: desk.ready.mesh.id } })
})

describe('build', () => {
  test('elected, log, result; then builds and why', async () => {
    const events = await documents(['build', source, '--out', 'made/**', '--to', lab.folder('to'), '--', 'sh', '-c', 'mkdir made && echo x > made/file && echo out && echo err >&2'])
    for (const event of events) expect(event['schema']).toBe('elder/build.v1')
    expect(events.map(({ event }) => event)).toEqual(expect.arrayContaining(['queued', 'elected', 'progress', 'log', 'result']) as string[])
    const failed = await documents(['build', source, '--out', 'none-*', '--', 'sh', '-c', 'exit 3'], { exit: 3 })
    await matchesByEvent('build', [...events, ...failed])
    const list = await documents(['builds'])
    await matches('builds', list)
    const id = String(must(events.at(-1), 'it ended')['build'])
    await matches('builds.why', await documents(['builds', 'why', id]))
    const logs = await documents(['builds', 'logs', id])
    expect(logs.filter(({ event }) => event === 'log')).toEqual(events.filter(({ event }) => event === 'log'))
    expect((await documents(['builds', 'attach', id])).at(-1)).toMatchObject({ event: 'result', build: id })
  })
  test('--dry-run is one elected document', async () => {
    const [elected, ...rest] = await documents(['build', source, '--dry-run', '--', 'true'])
    expect(rest).toEqual([])
    await matches('build.dry-run', [elected])
  })
  test('--detach prints the id; cancel answers it', async () => {
    const detached = await documents(['build', source, '--detach', '--', 'sleep', '600'])
    await matches('build.detached', [detached.at(-1)])
    await matches('builds.cancel', await documents(['builds', 'cancel', String(detached.at(-1)?.['build'])]))
  })
})

describe('stack', () => {
  test('add, show, edit, list, log, search, digest, rm', async () => {
    const added = await documents(['stack', 'add', 'notes', '--kind', 'decision', '--title', 'tokens are PASETO', '--tag', 'auth', '--supersedes', note, '--body', '-'], { stdin: 'because\n' })
    await matches('stack.add', added)
    const { id } = must(added[0], 'it was added')['entry'] as { id: string }
    await matches('stack.edit', await documents(['stack', 'edit', 'notes', id, '--title', 'tokens are PASETO v4']))
    const [shown] = await documents(['stack', 'show', 'notes'])
    expect(shown?.['entries']).toHaveLength(2)
    await matches('stack.show', [shown])
    await matches('stack.list', await documents(['stack', 'list']))
    await matches('stack.log', await documents(['stack', 'log', 'notes']))
    await matches('stack.log.entry', await documents(['stack', 'log', 'notes', '--entry', id]))
    await matches('stack.search', await documents(['stack', 'search', 'notes', 'paseto']))
    await matches('stack.digest', await documents(['stack', 'digest', 'notes']))
    await matches('stack.rm', await documents(['stack', 'rm', 'notes', id]))
    await matches('stack.archive', await documents(['stack', 'archive', 'notes']))
    await documents(['stack', 'archive', 'notes', '--undo'])
    await desk.note('slip', 'by mistake')
    await matches('stack.removal', await documents(['stack', 'rm', '--all-of', 'slip', '--yes']))
    await matches('stack.list.all', await documents(['stack', 'list', '--all']))
  })
  test('remote add, list, sync, verify, rm; restore; status, which shows them', async () => {
    await matches('stack.remote.add', await documents(['stack', 'remote', 'add', 'notes', `file://${remote}`]))
    await matches('stack.sync', await documents(['stack', 'sync', 'notes']))
    await matches('stack.remote.list', await documents(['stack', 'remote', 'list']))
    await matches('stack.verify', await documents(['stack', 'verify', 'notes']))
    const other = await lab.join('other')
    await matches('stack.restore', await documents(['stack', 'restore', `file://${remote}`], { on: other }))
    await matches('status', [...await documents(['status']), ...await documents(['status'], { on: other })])
    await matches('devices', await documents(['devices']))
    await matches('stack.remote.rm', await documents(['stack', 'remote', 'rm', 'notes', `file://${remote}`]))
  })
})

test('ping', async () => { await matchesByEvent('ping', await documents(['ping', 'mini', '--count', '2'])) })
test('doctor', async () => {
  const { command } = await desk.run('doctor')
  await matches('doctor', command.documents)
})
test('config', async () => {
  await matches('config.list', await documents(['config', 'list', '--sources']))
  await matches('config.get', await documents(['config', 'get', 'slots']))
  await matches('config.set', await documents(['config', 'set', 'slots', '2']))
})
test('evict', async () => {
  const gone = await lab.admit('gone', desk)
  await matches('evict', await documents(['evict', 'gone', '--yes']))
  await until('it was told', () => !gone.process.running)
  expect(await gone.process.exited).toBe(1)
  expect(gone.process.last?.error?.code).toBe('EVICTED')
})
test('help of a code', async () => { await matches('help', await documents(['help', 'NO_MESH'])) })
test('an error, wherever it comes from', async () => {
  await matches('error', [...await documents(['stack', 'show', 'none'], { exit: 1 }), ...await documents(['status', '--none'], { exit: 2 })])
})
