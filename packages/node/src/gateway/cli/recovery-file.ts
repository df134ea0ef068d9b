/** `--save-recovery`: the file is made before the mesh, so that the only copy of the text is never lost to a bad path. */
import { open, rm } from 'node:fs/promises'
import { ElderError, codeOf } from '@elder-node/protocol'

export interface RecoveryFile {
  /** Writes the text; removes the empty file when there is none (the mesh was founded before). */
  finish (recovery: string | undefined): Promise<boolean>
}

/** @throws ElderError `FILE_EXISTS` rather than overwriting a recovery text */
export async function reserveRecoveryFile (path: string): Promise<RecoveryFile> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    if (codeOf(error) === 'EEXIST') throw new ElderError('FILE_EXISTS', `${path} is there already and may hold a recovery text`, 'Give another path to --save-recovery.')
    throw error
  })
  return {
    async finish (recovery) {
      if (recovery !== undefined) {
        await file.writeFile(`${recovery}\n`)
        await file.sync()
      }
      await file.close()
      if (recovery === undefined) await rm(path, { force: true })
      return recovery !== undefined
    },
  }
}
