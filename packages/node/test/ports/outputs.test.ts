/** Outputs of builds on disk, and their doubles in memory. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { FileOutputReader } from '../../src/adapters/output-reader.ts'
import { FileOutputWriter } from '../../src/adapters/output-writer.ts'
import { filesBelow, putFiles } from '../support/folders.ts'
import { MemoryReader, MemoryWriter } from '../support/memory-outputs.ts'
import { outputsAcceptance } from './outputs.ts'

outputsAcceptance('in memory', {
  make: async (files, symlinks) => {
    const tree = new Map(Object.entries(files).map(([path, text]) => [path, new Uint8Array(Buffer.from(text))]))
    const written = new Map<string, string>()
    return {
      reader: new MemoryReader(() => tree, symlinks), writer: new MemoryWriter(written), tree: '/tree', to: '/to',
      written: async () => Object.fromEntries(written),
      put: async files => { for (const [path, text] of Object.entries(files)) written.set(path, text) },
    }
  },
})

outputsAcceptance('on disk', {
  make: async (files, symlinks = []) => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'elder-outputs-')))
    onTestFinished(() => { rmSync(base, { recursive: true, force: true }) })
    const [tree, to] = [join(base, 'tree'), join(base, 'to')]
    await mkdir(tree)
    await putFiles(tree, files)
    for (const name of symlinks) await symlink('a', join(tree, name))
    return {
      reader: new FileOutputReader(), writer: new FileOutputWriter({ dir: join(base, 'data') }), tree, to, written: () => filesBelow(to),
      put: files => putFiles(to, files),
    }
  },
})
