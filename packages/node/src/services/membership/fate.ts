/** What became of a device whose node does not run: read from its records, without its key, writing nothing. */
import type { Crypto, ElderError } from '@elder-node/protocol'
import type { PrivateFiles } from '../../ports/files.ts'
import { evictedError } from './evicted.ts'
import { readOwner } from './mesh-file.ts'
import { RecordBook } from './record-book.ts'

/** `EVICTED`, when the records of this directory show that its device is no member any more; undefined when they do not, or do not read. */
export function fateOf (components: { crypto: Crypto, files: PrivateFiles }): ElderError | undefined {
  try {
    const owner = readOwner(components.files)
    if (owner === undefined) return undefined
    const book = new RecordBook(components, owner.mesh)
    book.load(owner.proof)
    const isOut = book.roster.revoked.has(owner.device) || book.roster.lost.has(owner.device)
    return isOut ? evictedError(book.roster, owner.device) : undefined
  } catch {
    return undefined
  }
}
