/** Why no node runs here, when it will not run again. Loaded only after a command found none, or lost it. */
import type { ElderError } from '@elder-node/protocol'
import { nodeCrypto } from '../adapters/crypto.ts'
import { dataDirAt } from '../adapters/data-dir.ts'
import { privateFiles } from '../adapters/private-files.ts'
import { fateOf } from '../services/membership/fate.ts'

/** `EVICTED`, or undefined. Never throws. */
export function fateOfDir (dir: string): ElderError | undefined {
  return fateOf({ crypto: nodeCrypto(), files: privateFiles(dataDirAt(dir).mesh) })
}
