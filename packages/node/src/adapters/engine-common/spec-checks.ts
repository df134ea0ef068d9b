/** What every engine demands of a spec before it touches a file. */
import { realpath } from 'node:fs/promises'
import { basename, isAbsolute, join, relative } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { RunSpec } from '../../ports/engine.ts'
import { folderOf } from './trees.ts'

const ID = /^[A-Za-z0-9_-]{1,64}$/

/** Relative to the tree, links resolved. @throws ElderError `CWD_INVALID` */
export async function workingDirectory ({ tree, cwd }: RunSpec): Promise<string> {
  const real = await realpath(join(tree, cwd)).catch(() => undefined)
  const inside = real === undefined ? '..' : relative(await realpath(tree), real)
  if (isAbsolute(cwd) || real === undefined || inside === '..' || inside.startsWith('../')) {
    throw new ElderError('CWD_INVALID', `the working directory "${cwd}" is not a folder of the tree`, 'Is it committed, or ignored by .gitignore?')
  }
  return inside
}

/** @throws Error unless it can name a build */
export function checkId (id: string): string {
  if (!ID.test(id)) throw new Error(`"${id}" cannot name a build: letters, digits, dash and underscore, at most 64`)
  return id
}

/** @throws Error unless createTree made it below this root */
export function checkTree (root: string, tree: string): void {
  const parts = relative(root, tree).split('/')
  if (parts.length !== 2 || parts[1] !== 'tree' || parts[0] === '..' || !/\.\d+$/.test(basename(folderOf(tree).folder))) {
    throw new Error(`${tree} was not made by createTree`)
  }
}
