/** The private files of a node on disk, and their double in memory. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { ElderError } from '@elder-node/protocol'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { MemoryFiles } from '../support/memory-files.ts'
import { privateFilesAcceptance } from './private-files.ts'

privateFilesAcceptance('in memory', {
  make: () => {
    const files = new MemoryFiles()
    return {
      files, bytes: name => files.contents.get(name), put: (name, bytes) => { files.contents.set(name, bytes) },
      fill: full => { files.failure = full ? new ElderError('DISK_FULL', 'full') : undefined },
    }
  },
})

privateFilesAcceptance('on disk', {
  make: () => {
    const dir = mkdtempSync(join(tmpdir(), 'elder-files-'))
    onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
    const path = (name: string): string => join(dir, name)
    const moved = `${dir}.away`
    return {
      files: privateFiles(dir), bytes: name => existsSync(path(name)) ? new Uint8Array(readFileSync(path(name))) : undefined,
      put: (name, bytes) => { mkdirSync(dirname(path(name)), { recursive: true }); writeFileSync(path(name), bytes) },
      // Root is refused nothing: a directory that is away refuses writes to anybody.
      fill: full => { renameSync(full ? dir : moved, full ? moved : dir) },
    }
  },
})
