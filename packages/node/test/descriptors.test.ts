import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { FsFeedStore, Handles } from '@elder-node/crdt-stack/fs'
import { nodeCrypto, randomBytes, signerFromSeed } from '../src/adapters/crypto.ts'
import { descriptorBudget, descriptorLimit } from '../src/adapters/descriptors.ts'
import { privateFiles } from '../src/adapters/private-files.ts'
import { Stacks } from '../src/services/stacks.ts'
import { silent, verifyArchive } from './support/stacks.ts'
import { needs } from './support/when.ts'

const run = promisify(execFile)
const posix = needs(process.platform !== 'win32', 'a POSIX shell with ulimit')

function folder (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-descriptors-'))
  onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
  return dir
}

/** A module of these tests in a process that may have so many files open. */
async function underLimit (files: number, child: string, dir: string): Promise<string> {
  const script = `ulimit -n ${files} && exec "$0" --conditions=elder-source "$1" "$2"`
  const { stdout } = await run('sh', ['-c', script, process.execPath, join(import.meta.dirname, child), dir], { timeout: 55_000 })
  return stdout
}

describe('file descriptors', () => {
  test('are shared out below what the system gives', () => {
    expect(descriptorLimit('Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n')).toBe(1024)
    expect(descriptorLimit('Max open files            unlimited            unlimited            files\n')).toBe(Number.MAX_SAFE_INTEGER)
    expect(descriptorLimit('')).toBe(256)
    for (const limit of [64, 256, 1024, 4096, Number.MAX_SAFE_INTEGER]) {
      const { files, connections, calls } = descriptorBudget(limit)
      expect(files + connections + calls).toBeLessThan(0.7 * limit)
    }
    expect(descriptorBudget(1_048_576)).toEqual({ files: 512, connections: 300, calls: 1024 })
  })

  test.runIf(posix)('that run out do not end the program that a node is part of: the node writes once there are some again', async () => {
    expect(await underLimit(256, 'descriptors-child.ts', folder())).toBe('wrote after, uncaught: \n')
  })

  test.runIf(posix)('that run out are no fault nobody caught where a program is started', async () => {
    const [started, works, uncaught] = (await underLimit(64, 'no-descriptor-child.ts', folder())).split(' ')
    expect(started?.split(',')).toEqual(['EMFILE', 'undefined', 'EXHAUSTED', 'EMFILE', 'EXHAUSTED', 'EXHAUSTED'])
    // And git is there again as soon as it can be asked.
    expect([works, uncaught]).toEqual(['true', '\n'])
  })

  test.runIf(posix)('suffice for 200 stacks under a limit of 64, written, closed and opened again', async () => {
    expect(await underLimit(64, 'many-stacks-child.ts', folder())).toBe('200 stacks, 200 entries, problems: 0\n')
  })
})

test('stores with one pool keep no more files open than it allows', async () => {
  const dir = folder()
  const handles = new Handles({ max: 3 })
  const parts = {
    crypto: nodeCrypto(), signer: signerFromSeed(new Uint8Array(32)), clock: { wallMs: () => Date.now(), monotonicMs: () => 0 }, random: randomBytes,
    files: privateFiles(dir), openStore: (key: string) => FsFeedStore.open(join(dir, key), { handles }), dropStore: async () => {}, mayWrite: () => true, cuts: () => new Map(), verifyArchive, log: silent,
  }
  const stacks = await Stacks.open(parts)
  const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
  await Promise.all(names.map(async name => await stacks.open(name).add({ kind: 'note', title: name, body: '' })))
  expect(handles.open).toBeLessThanOrEqual(3)
  await stacks.close()
  const again = await Stacks.open(parts)
  expect(again.list().map(({ name, entries }) => [name, entries])).toEqual(names.toSorted().map(name => [name, 1]))
  await again.close()
  await handles.closeAll()
  expect(handles.open).toBe(0)
})
