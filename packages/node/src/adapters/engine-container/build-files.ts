/** A build's folder made ready for its container, and what is asked of the daemon for it. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunSpec } from '../../ports/engine.ts'
import { checkId, checkTree, workingDirectory } from '../engine-common/spec-checks.ts'
import { folderOf, ownTree } from '../engine-common/trees.ts'
import { containerConfig } from './container-config.ts'
import { identityIn, slotUid, type Opened } from './daemon.ts'
import type { Identity } from './identity.ts'
import type { FoundImage } from './images.ts'

/** Gives the tree to the build's user. @param cwd - Of {@link checkSpec}. @param network - The owner's; undefined: the engine's own. */
export async function prepareContainer (opened: Opened, spec: RunSpec, cwd: string, { name: image, details }: FoundImage, network: string | undefined): Promise<object> {
  const { name, root, node, info, seccomp } = opened
  const { folder, tree, home, tmp } = folderOf(spec.tree)
  const uid = slotUid(opened, spec.slot)
  if (uid !== undefined) await ownTree(tree, uid)
  const identity = identityIn(opened, spec.slot)
  const environment = join(root, 'environment')
  return containerConfig({
    engine: name, spec, cwd, image, volumes: Object.keys(details.Config?.Volumes ?? {}), identity, info, node, tree, home, tmp,
    network: network ?? (name === 'docker' ? 'default' : ''),
    seccomp: seccomp === undefined ? undefined : await put(folder, 'seccomp.json', seccomp),
    readOnly: { ...await names(folder, identity), ...(existsSync(environment) ? { [environment]: environment } : {}) },
  })
}

/** @returns the working directory, relative to the tree */
export async function checkSpec (root: string, spec: RunSpec): Promise<string> {
  checkId(spec.id)
  checkTree(root, spec.tree)
  if (spec.command.length === 0) throw new Error('the command is empty')
  for (const [name, value] of Object.entries(spec.env)) {
    if (name === '' || /[=\0]/.test(name) || value.includes('\0')) throw new Error(`"${name}" cannot be passed to a build: a name is not empty and holds no "=", a value no NUL`)
  }
  return await workingDirectory(spec)
}

/** A user database that knows the build's user: programs that ask who they are get an answer in any image. */
async function names (folder: string, { user }: Identity): Promise<Record<string, string>> {
  const [uid, gid] = user.split(':')
  if (uid === '0') return {}
  const files = { passwd: `root:x:0:0:root:/root:/bin/sh\nbuild:x:${uid}:${gid}:build:/elder/home:/bin/sh\n`, group: `root:x:0:\nbuild:x:${gid}:\n` }
  return Object.fromEntries(await Promise.all(Object.entries(files).map(async ([name, text]) => [`/etc/${name}`, await put(folder, name, text)])))
}

/** A file beside the tree, which the build cannot reach. */
async function put (folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text, { mode: 0o644 })
  return path
}
