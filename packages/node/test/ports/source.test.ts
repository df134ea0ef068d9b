/** Sources through git on disk, and their double in memory. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { GitCache } from '../../src/adapters/git-cache.ts'
import { GitSource } from '../../src/adapters/git-source.ts'
import { filesBelow, putFiles } from '../support/folders.ts'
import { MemoryCache, MemorySource } from '../support/memory-source.ts'
import { sourceAcceptance } from './source.ts'

sourceAcceptance('in memory', {
  make: async init => {
    const folders = new Map<string, Map<string, string>>()
    const folder = async (files: Record<string, string>): Promise<string> => {
      const dir = `/memory/${folders.size}`
      folders.set(dir, new Map(Object.entries(files)))
      return dir
    }
    return {
      reader: new MemorySource(dir => folders.get(dir), init), cache: new MemoryCache(folders, init), folder,
      tree: () => folder({}),
      put: async (dir, files) => {
        for (const [path, text] of Object.entries(files)) {
          if (text === null) folders.get(dir)?.delete(path)
          else folders.get(dir)?.set(path, text)
        }
      },
      filesIn: async dir => Object.fromEntries(folders.get(dir) ?? []),
    }
  },
})

sourceAcceptance('through git', {
  make: async init => {
    const base = realpathSync(mkdtempSync(join(tmpdir(), 'elder-source-')))
    onTestFinished(() => { rmSync(base, { recursive: true, force: true }) })
    const [sources, caches] = [join(base, 'sources'), join(base, 'caches')]
    const tree = (): Promise<string> => mkdtemp(join(base, 'folder-'))
    return {
      reader: new GitSource({ dir: sources, ...init }), cache: new GitCache({ dir: caches, ...init }),
      put: putFiles, tree, filesIn: filesBelow,
      folder: async files => {
        const dir = await tree()
        await putFiles(dir, files)
        return dir
      },
    }
  },
})
