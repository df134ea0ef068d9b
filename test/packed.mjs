/**
 * What `npm publish` would ship, as a user has it: packed, looked into, installed into empty folders without install scripts,
 * used from the command line, from JavaScript and from TypeScript, on the oldest and the newest supported Node and on arm64.
 * Needs `npm run build` before and Node >= 22.13 in PATH; prints what it does, and what it skips with the reason.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packAll } from '../tools/pack.mjs'
import { checkContents } from './published/contents.mjs'
import { lintTarballs } from './published/lint.mjs'
import { checkLightCli, checkMesh } from './published/mesh.mjs'
import { checkArm64, checkTooOld, oldestNode } from './published/nodes.mjs'
import { checkService } from './published/service.mjs'
import { endAll, folderOf, install, say } from './published/support.mjs'
import { checkTree } from './published/tree.mjs'
import { checkTypes } from './published/types.mjs'

const work = mkdtempSync(join(tmpdir(), 'elder-packed-'))
const cache = join(work, 'cache')

try {
  const tarballs = packAll(join(work, 'tarballs'))
  checkContents(work, tarballs)

  const folders = [folderOf(work, 'first'), folderOf(work, 'second')]
  install(folders[0], tarballs, { cache })
  install(folders[1], tarballs, { cache, offline: true })
  say('installed from an empty cache, and again without a network')
  checkTree(work, folders[0], cache)
  checkTooOld(folders[0])
  checkTypes(folders[0])
  checkLightCli(folders[0])

  await checkMesh(work, folders, { label: `node-${process.versions.node}` })
  const oldest = oldestNode(work)
  if (oldest !== undefined) await checkMesh(work, folders, { node: oldest, label: 'node-22.13' })
  await checkService(work, tarballs, cache)
  await checkArm64(work, folders[0])
  await lintTarballs(work, tarballs, cache)
} finally {
  await endAll()
  rmSync(work, { recursive: true, force: true })
}
console.log('packed: ok')
