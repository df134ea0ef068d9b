/** What was acknowledged stays: over SIGKILLs, torn files, and remotes that do not answer or say no. */
import { chmodSync, readFileSync, readdirSync, rmSync, writeFileSync, appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { serveGit } from '@elder-node/crdt-stack/git'
import { stackIdOf, stackKey } from '@elder-node/protocol'
import { afterAll, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../../packages/node/src/adapters/crypto.ts'
import type { MirrorStatus } from '../../packages/node/src/api.ts'
import { Lab, expectRefusal, git, must, until } from './support.ts'
import type { Digest, Node } from './support.ts'

const lab = new Lab()
afterAll(() => lab[Symbol.asyncDispose]())

const mirrorOf = async (node: Node, stack: string): Promise<MirrorStatus | undefined> => (await node.status()).stacks.find(({ name }) => name === stack)?.mirrors[0]
const bareRepository = (name: string): string => { git(lab.temp, 'init', '-q', '--bare', name); return join(lab.temp, name) }

/** Of the folder of a stack. */
const keyOf = (stack: string): string => stackKey(stackIdOf(stack, nodeCrypto()))

/** The files of the stacks' feeds. */
function storeFiles (node: Node, matches: (name: string) => boolean): string[] {
  const all = readdirSync(join(node.dir, 'stacks'), { recursive: true, withFileTypes: true })
  return all.filter(entry => entry.isFile() && matches(entry.name)).map(entry => join(entry.parentPath, entry.name))
}

describe.concurrent('SIGKILL while notes are written', () => {
  const KILLS = 5
  const WRITERS = 3

  test(`${KILLS} times at a random moment: nothing acknowledged is lost, and the digest moves only forward`, { timeout: 180_000 }, async () => {
    const node = await lab.join('killed')
    const acknowledged: string[] = []
    for (let kill = 1; kill <= KILLS; kill++) {
      const writers = Array.from({ length: WRITERS }, (_, writer) => write(node, `${kill}.${writer}`, acknowledged))
      const before = acknowledged.length
      await until('a first note of this round is acknowledged', () => acknowledged.length > before)
      // The moment is the point: anywhere in what a few notes take.
      await delay(Math.random() * 300)
      await node.kill()
      await Promise.all(writers)
      await node.start()
      const entries = await node.entries('journal')
      const held = new Set<string>(entries.map(({ id }) => id))
      expect(acknowledged.filter(id => !held.has(id)), `lost after kill ${kill}`).toEqual([])
      // Whatever else is there was being written: whole, or not there.
      expect(entries.every(({ body }) => body === BODY)).toBe(true)
      expect(entries.length - acknowledged.length).toBeLessThanOrEqual(kill * WRITERS)
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS)
    await node.stop()
  })

  const BODY = `${'a line of some length\n'.repeat(40)}`

  /** Adds notes until the node is gone. */
  async function write (node: Node, name: string, acknowledged: string[]): Promise<void> {
    for (let n = 1; ; n++) {
      const { code, last } = await node.run('stack', 'add', 'journal', '--kind', 'note', '--title', `${name}.${n}`, '--body', BODY)
      if (code !== 0) return
      acknowledged.push(must((last as { entry?: { id: string } } | undefined)?.entry, 'an acknowledged note has an id').id)
    }
  }
})

describe.concurrent('torn and damaged files', () => {
  test('a log whose tail is torn: the tail is cut, the rest is there, and the node writes on', async () => {
    const node = await lab.join('torn')
    for (const title of ['one', 'two', 'three']) await node.note('torn', title)
    const digest = await node.digest('torn')
    await node.kill()
    const log = must(storeFiles(node, name => name.endsWith('.log'))[0], 'there is a feed')
    const whole = readFileSync(log)
    // Half of a record that was being written, then the last whole record bent.
    appendFileSync(log, whole.subarray(0, 40))
    await node.start()
    expect(await node.titles('torn')).toEqual(['one', 'three', 'two'])
    expect(await node.digest('torn')).toEqual(digest)
    expect(readFileSync(log)).toEqual(whole)

    await node.kill()
    writeFileSync(log, whole.map((byte, i) => i === whole.length - 3 ? byte ^ 0xff : byte))
    await node.start()
    expect(await node.titles('torn')).toEqual(['one', 'two'])
    await node.note('torn', 'four')
    await node.stop()
    await node.start()
    expect(await node.titles('torn')).toEqual(['four', 'one', 'two'])
    await node.stop()
  })

  test('what a torn log lost here comes back from a device that has it, and both write on', async () => {
    const torn = await lab.join('torn-too')
    const other = await lab.admit('other', torn)
    for (const title of ['one', 'two', 'three']) await torn.note('shared', title)
    await until('the other device has the notes', async () => (await other.digest('shared')) !== undefined && (await other.entries('shared')).length === 3)
    await torn.kill()
    const log = must(storeFiles(torn, name => name.endsWith('.log'))[0], 'there is a feed')
    const whole = readFileSync(log)
    writeFileSync(log, whole.map((byte, i) => i === whole.length - 3 ? byte ^ 0xff : byte))
    await torn.start()
    // Before it can know that it forgot something: what it writes now must not collide with what it wrote before.
    await torn.note('shared', 'four')
    await other.note('shared', 'five')
    await until('both hold all five', async () => (await torn.entries('shared')).length === 5 && (await other.entries('shared')).length === 5)
    expect(await torn.titles('shared')).toEqual(['five', 'four', 'one', 'three', 'two'])
    expect(await other.digest('shared')).toEqual(await torn.digest('shared'))
    await Promise.all([torn.stop(), other.stop()])
  })

  test('a damaged note of a clean end is ignored: the feeds hold everything, and the node writes on', async () => {
    const node = await lab.join('noted')
    const titles = ['one']
    await node.note('ended', 'one')
    await node.stop()
    for (const damage of [(whole: Buffer) => whole.map((byte, i) => i === 40 ? byte ^ 0xff : byte), (whole: Buffer) => whole.subarray(0, 25), () => Buffer.from('not a note')]) {
      const path = must(storeFiles(node, name => name === 'clean-end').find(path => path.includes(keyOf('ended'))), 'a stop leaves a note')
      writeFileSync(path, damage(readFileSync(path)))
      await node.start()
      expect(await node.titles('ended')).toEqual(titles.toSorted())
      expect((await node.status()).problems.filter(({ code }) => code.startsWith('FEED_'))).toEqual([])
      titles.push(`life ${titles.length}`)
      await node.note('ended', must(titles.at(-1), 'there is a title'))
      await node.stop()
    }
  })
})

describe.concurrent('looking at memory', () => {
  test('search, log and verify on one device show what another wrote; rm and remote rm take away; a bent byte is found', async () => {
    const url = bareRepository('looked-at.git')
    const laptop = await lab.join('looker')
    const mini = await lab.admit('writer', laptop)
    await laptop.note('repo', 'the door', 'whoever knocks must know the secret\n')
    const { id } = await mini.ask<{ id: string }>('stack', 'add', 'repo', '--kind', 'decision', '--title', 'tokens are PASETO', '--body', 'the secret is not in them', '--as', 'juno')
    await until('the decision is on the laptop', async () => (await laptop.entries('repo')).length === 2)
    await laptop.ask('stack', 'remote', 'add', 'repo', url)
    await laptop.ask('stack', 'sync', 'repo')

    expect(await laptop.ask('stack', 'search', 'repo', 'secret', 'paseto')).toMatchObject({ stack: 'repo', hits: [{ stack: 'repo', entry: { id, title: 'tokens are PASETO' } }, { snippet: 'whoever knocks must know the secret' }] })
    const log = (await laptop.run('stack', 'log', 'repo')).command.documents
    expect(log.map(({ change, entry }) => [change, (entry as { title: string }).title]).sort()).toEqual([['new', 'the door'], ['new', 'tokens are PASETO']])
    expect(log.find(({ entry }) => (entry as { id: string }).id === id)).toMatchObject({ schema: 'elder/stack-log.v1', author: { device: mini.ready.device, agent: 'juno' } })
    const proof = await laptop.ask<Digest & { ok: boolean }>('stack', 'verify', 'repo')
    expect(proof).toMatchObject({ ok: true, entries: 2, problems: [], devices: [{ state: 'self' }, { name: 'writer', state: 'same' }], remotes: [{ url, state: 'same', lacks: 0, commit: git(url, 'rev-parse', 'elder/memory').trim() }] })
    expect(await laptop.digest('repo')).toMatchObject({ digest: proof.digest, feeds: proof.feeds })

    await laptop.ask('stack', 'rm', 'repo', id)
    await until('it is gone on the other device too', async () => (await mini.entries('repo')).length === 1)
    expect(await mini.ask('stack', 'search', 'paseto')).toMatchObject({ hits: [] })
    expect((await mini.run('stack', 'log', 'repo', '--entry', id, '--limit', '1')).last).toMatchObject({ change: 'remove', author: { device: laptop.ready.device } })
    // A folder is the laptop's own: the other device never hears of it.
    expect(await laptop.ask('stack', 'remote', 'list')).toMatchObject({ remotes: [{ stack: 'repo', url, scope: 'device' }] })
    expect(await mini.ask('stack', 'remote', 'list')).toMatchObject({ remotes: [] })
    await laptop.ask('stack', 'remote', 'rm', 'repo', url)
    await until('no device mirrors it any more', async () => (await mirrorOf(laptop, 'repo')) === undefined)

    const path = must(storeFiles(mini, name => name.endsWith('.log') && name.startsWith(mini.ready.device.id))[0], 'the writer has a feed')
    writeFileSync(path, readFileSync(path).map((byte, i) => i === 100 ? byte ^ 1 : byte))
    const { code, last } = await mini.run('stack', 'verify', 'repo')
    expect(code).toBe(1)
    expect(last).toMatchObject({ ok: false, problems: [{ code: 'FEED_DAMAGED', file: path, fix: expect.stringContaining('Look after the disk') as string }] })
    await Promise.all([laptop.stop(), mini.stop()])
  // Twenty commands: on a machine that is busy with the other tests each takes a second or two.
  }, 180_000)
})

describe.concurrent('a remote', () => {
  test('alone brings the memory back, with the digest that was printed before', async () => {
    const url = bareRepository('memory.git')
    const first = await lab.join('lost')
    await first.note('memory', 'a note', 'with a body\n')
    await first.ask('stack', 'add', 'memory', '--kind', 'decision', '--title', 'a decision')
    await first.ask('stack', 'remote', 'add', 'memory', url)
    const { results } = await first.ask<{ results: Array<{ ok: boolean, commit: string | null }> }>('stack', 'sync', 'memory')
    expect(results).toMatchObject([{ ok: true }])
    expect(git(url, 'ls-tree', '-r', '--name-only', 'elder/memory')).toMatch(/stacks\/memory\/entries\/note\/.*\.md/)
    expect(await mirrorOf(first, 'memory')).toMatchObject({ state: 'ok', message: null })
    const { digest } = await first.ask<Digest>('stack', 'digest', 'memory')
    await first.kill()
    rmSync(first.dir, { recursive: true })

    const again = await lab.join('again')
    const { stacks } = await again.ask<{ stacks: Array<{ name: string, digest: string, entries: number }> }>('stack', 'restore', url)
    expect(stacks).toMatchObject([{ name: 'memory', digest, entries: 2 }])
    expect(await again.titles('memory')).toEqual(['a decision', 'a note'])
    const second = await lab.admit('second', again)
    await until('the archived stack reaches the second device', async () => (await second.digest('memory'))?.digest === digest)
    await Promise.all([second.stop(), again.stop()])
  })

  test('that rejects the push: the note is safe, status says that the mirror is behind and why, and it recovers', async () => {
    // A host of its own: the hooks of a folder on this machine are never run.
    const server = await serveGit({ root: lab.folder('host') })
    lab.later(() => server.close())
    const url = await server.create('strict.git')
    const hook = join(lab.temp, 'host', 'strict.git', 'hooks', 'pre-receive')
    writeFileSync(hook, '#!/bin/sh\necho "frozen for the release" >&2\nexit 1\n')
    chmodSync(hook, 0o755)
    const node = await lab.join('rejected')
    const id = await node.note('safe', 'kept here')
    await node.ask('stack', 'remote', 'add', 'safe', url)
    const { code, last } = await node.run('stack', 'sync', 'safe')
    expect(code).toBe(1)
    expect(last).toMatchObject({ results: [{ stack: 'safe', ok: false, message: expect.stringContaining('frozen for the release') as string }] })
    const { state, message, lastPush } = must(await mirrorOf(node, 'safe'), 'the stack has a mirror')
    expect(['behind', 'failing']).toContain(state)
    expect(message).toContain('frozen for the release')
    expect(lastPush).toBe(null)

    await node.kill()
    await node.start()
    expect(await node.ask('stack', 'show', 'safe')).toMatchObject({ entries: [{ id, title: 'kept here' }] })
    rmSync(hook)
    expect(await node.ask('stack', 'sync', 'safe')).toMatchObject({ results: [{ ok: true }] })
    expect(await mirrorOf(node, 'safe')).toMatchObject({ state: 'ok', message: null })
    await node.stop()
    await server.close()
  })

  test('that cannot be reached: the note is safe, status says so and why', async () => {
    const node = await lab.join('unreachable')
    await node.note('far', 'kept here')
    const missing = join(lab.temp, 'nowhere.git')
    expectRefusal(await node.run('stack', 'remote', 'add', 'far', missing), 1, { code: 'REMOTE_MISSING', names: missing, fix: `git init --bare ${missing}` })
    expect(await mirrorOf(node, 'far')).toBeUndefined()
    const url = 'http://127.0.0.1:9/memory.git'
    await node.ask('stack', 'remote', 'add', 'far', url)
    const { code, last } = await node.run('stack', 'sync', 'far')
    expect(code).toBe(1)
    expect(last).toMatchObject({ results: [{ ok: false, message: expect.stringContaining(url) as string }] })
    const { state, message } = must(await mirrorOf(node, 'far'), 'the stack has a mirror')
    expect(['behind', 'failing']).toContain(state)
    expect(message).toContain(`${url} did not answer git as a repository`)
    expect(await node.titles('far')).toEqual(['kept here'])
    expectRefusal(await node.run('stack', 'restore', url), 1, { code: 'GIT_UNREACHABLE', names: url, fix: `git ls-remote ${url}` })
    expect((await node.status()).stacks.map(({ name }) => name)).toEqual(['far'])
    await node.stop()
  })

  test('of a device that is evicted stops, is listed, and goes on when a member adds it again', async () => {
    const server = await serveGit({ root: join(lab.temp, 'evicted-remotes') })
    const url = await server.create('theirs.git')
    const admin = await lab.join('keeper')
    const other = await lab.admit('leaver', admin)
    await admin.note('kept', 'before')
    await other.ask('stack', 'remote', 'add', '--all', url)
    await until('the admin knows the remote', async () => (await admin.ask<{ remotes: unknown[] }>('stack', 'remote', 'list')).remotes.length === 1)
    expect(await admin.ask('stack', 'sync', 'kept')).toMatchObject({ results: [{ ok: true }] })
    expect(await admin.ask('evict', 'leaver', '--yes')).toMatchObject({ device: { name: 'leaver' }, remotes: [{ stack: '--all', url }] })
    expect(await admin.ask('stack', 'remote', 'list')).toMatchObject({ remotes: [] })
    expect((await admin.status()).problems).toContainEqual(expect.objectContaining({ code: 'REMOTE_STOPPED', message: expect.stringContaining(url) as string }))
    const commit = git(join(lab.temp, 'evicted-remotes/theirs.git'), 'rev-parse', 'elder/memory')
    await admin.note('kept', 'after')
    expectRefusal(await admin.run('stack', 'sync'), 1, { code: 'NO_REMOTE', names: 'remote', fix: 'elder-node stack remote add' })
    expect(git(join(lab.temp, 'evicted-remotes/theirs.git'), 'rev-parse', 'elder/memory')).toBe(commit)
    await admin.ask('stack', 'remote', 'add', '--all', url)
    expect(await admin.ask('stack', 'sync')).toMatchObject({ results: [{ stack: 'kept', ok: true }] })
    expect((await admin.status()).problems.map(({ code }) => code)).not.toContain('REMOTE_STOPPED')
    await until('the evicted node ends', () => !other.process.running)
    await admin.stop()
    await server.close()
  })

  test('that was a folder and is gone is not called mirrored any more', async () => {
    const node = await lab.join('unplugged')
    await node.note('usb', 'kept here')
    const url = bareRepository('usb.git')
    await node.ask('stack', 'remote', 'add', 'usb', url)
    expect(await node.ask('stack', 'sync', 'usb')).toMatchObject({ results: [{ ok: true }] })
    expect(await mirrorOf(node, 'usb')).toMatchObject({ state: 'ok' })
    rmSync(url, { recursive: true })
    expect((await node.run('stack', 'sync', 'usb')).code).toBe(1)
    expect(await mirrorOf(node, 'usb')).toMatchObject({ state: 'behind', message: expect.stringContaining(url) as string })
    await node.stop()
  })
})
