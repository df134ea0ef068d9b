import { accessSync, constants } from 'node:fs'

const DIRS = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin', '/run/current-system/sw/bin']

/** System tools by absolute path: never through a PATH that a build, a checkout or `node_modules/.bin` could shape. */
export function findTool (name: string, dirs: readonly string[] = DIRS): string | undefined {
  return dirs.map(dir => `${dir}/${name}`).find(path => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
