/** Small private files in one directory: what is read is what was written, or an error that names the file. */
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { ElderError } from '@elder-node/protocol'
import type { PrivateFiles } from '../ports/files.ts'
import type { Logger } from '../ports/log.ts'
import { appendDurable, makePrivateDir, readIfThere, removeDurable, storageError, writeAtomic } from './files.ts'
import { frame, seal, STORE_FORMAT, unframe, unseal } from './sealed.ts'

export interface PrivateFilesInit {
  /** Told of each cache that did not read. @default nobody */
  log?: Pick<Logger, 'warn'>
}

export function privateFiles (dir: string, { log }: PrivateFilesInit = {}): PrivateFiles {
  const path = (name: string): string => join(dir, name)
  return {
    path,
    list: (folder = '') => namesIn(path(folder)),
    read: name => readSealed(path(name)),
    readCache: name => {
      try {
        return readSealed(path(name))
      } catch (error) {
        log?.warn({ path: path(name), error: (error as Error).message }, 'a cache did not read and is made anew')
        return undefined
      }
    },
    replace: (name, bytes) => {
      if (name.includes('/')) makePrivateDir(dirname(path(name)))
      writeAtomic(path(name), seal(bytes))
    },
    remove: name => { removeDurable(path(name)) },
    readLog: name => {
      const bytes = readIfThere(path(name))
      return bytes === undefined ? undefined : unframe(bytes)
    },
    append: (name, entries) => { appendDurable(path(name), frame(entries)) },
    replaceLog: (name, entries) => { writeAtomic(path(name), frame(entries)) },
    keepAside: name => keepAside(path(name)),
  }
}

/** Undefined when there is no such file. @throws ElderError `FILE_DAMAGED`, `STORE_OLD`, `STORAGE` */
function readSealed (path: string): Uint8Array | undefined {
  const bytes = readIfThere(path)
  if (bytes === undefined) return undefined
  const found = unseal(bytes)
  if ('damaged' in found) throw damaged(path, found.damaged)
  if (found.format !== STORE_FORMAT) throw otherFormat(path, found.format)
  return found.content
}

export function damaged (path: string, why: string): ElderError {
  return new ElderError('FILE_DAMAGED', `${path} does not read: ${why}. It is left as it is.`, 'Restore it from a backup, or move the data directory away and join again.', { path })
}

/** A directory of an older version, or of a newer one. */
export function otherFormat (path: string, format: number): ElderError {
  const age = format > STORE_FORMAT ? 'a newer' : 'an older'
  return new ElderError(
    'STORE_OLD', `${dirname(path)} was written by ${age} version of elder-node (format ${format}, this version reads ${STORE_FORMAT}).`,
    'Move the directory aside and join again with a new ticket (elder-node invite on another device); stacks come back from other devices and remotes.', { path, format },
  )
}

/** By its content: the same damage, met at every start, is kept once. */
function keepAside (path: string): string {
  const bytes = readIfThere(path) ?? new Uint8Array()
  const aside = `${path}.damaged-${crc32(bytes).toString(16).padStart(8, '0')}`
  if (readIfThere(aside) === undefined) writeAtomic(aside, bytes)
  return aside
}

function namesIn (path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw storageError(path, error)
  }
}
