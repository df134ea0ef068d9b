/** Which paths a mirror may write: nothing a file system or git could read as something else. */
import { ElderError } from '@elder-node/protocol'

const SAFE = /^[A-Za-z0-9._@-]+$/

/** Returns the path. @throws ElderError `GIT_FAILED` */
export function checkedPath (path: string): string {
  const parts = path.split('/')
  if (!parts.every(part => SAFE.test(part) && part !== '.' && part !== '..' && part.toLowerCase() !== '.git')) throw new ElderError('GIT_FAILED', `"${path}" is not a path of a mirror`)
  return path
}
