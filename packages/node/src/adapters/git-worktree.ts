/** Where a folder's source comes from: the git work tree around it, or the folder alone. */
import { createHash } from 'node:crypto'
import { readFile, realpath, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { gitText, runGit } from './git-run.ts'

export interface Worktree {
  /** Absolute path of the tree's root, without symlinks. */
  root: string
  /** The asked-for folder relative to the root, `.` for the root. */
  cwd: string
  /** Names the project on any device. */
  project: string
  /** The repository's own folders; undefined for a plain folder. */
  git: { dir: string, common: string } | undefined
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

/** @throws ElderError `NOT_A_FOLDER` */
export async function findWorktree (dir: string, signal: AbortSignal): Promise<Worktree> {
  const path = await realpath(dir).catch(() => resolve(dir))
  if (!await stat(path).then(found => found.isDirectory(), () => false)) throw new ElderError('NOT_A_FOLDER', `${dir} is not a folder`, 'Give the folder to build.')
  return await inRepository(path, signal) ?? { root: path, cwd: '.', project: hash(`elder/project/path\0${path}`), git: undefined }
}

async function inRepository (path: string, signal: AbortSignal): Promise<Worktree | undefined> {
  const asked = await runGit(['rev-parse', '--show-toplevel', '--absolute-git-dir', '--git-common-dir', '--show-object-format'], { cwd: path, signal, allow: [128] })
  const [top, dir, common, format] = asked.stdout.toString().split('\n')
  // No work tree around it, or object ids that are not the 40 digits of the wire: the files alone are the source.
  if (asked.code !== 0 || top === undefined || dir === undefined || common === undefined || format !== 'sha1') return undefined
  const root = await realpath(top)
  const cwd = relative(root, path) || '.'
  if (cwd !== '.' && await isIgnored(root, cwd, signal)) return undefined
  const first = await rootCommit(root, signal)
  const project = hash(first === undefined ? `elder/project/path\0${root}` : `elder/project/root\0${first}`)
  return { root, cwd, project, git: { dir, common: resolve(path, common) } }
}

/** An ignored folder without a tracked file is no part of the work tree's snapshot. */
async function isIgnored (root: string, path: string, signal: AbortSignal): Promise<boolean> {
  const { code } = await runGit(['check-ignore', '-q', '--', path], { cwd: root, signal, personal: true, allow: [1, 128] })
  return code === 0 && await gitText(['ls-files', '--', path], { cwd: root, signal }) === ''
}

async function rootCommit (root: string, signal: AbortSignal): Promise<string | undefined> {
  const { code, stdout } = await runGit(['rev-list', '--max-parents=0', 'HEAD'], { cwd: root, signal, allow: [128] })
  return code === 0 ? stdout.toString().split('\n').filter(Boolean).sort()[0] : undefined
}

/** Names of the content filters (`lfs`, ...) that attributes in the work tree give to files. */
export async function filterNames ({ root, git }: Worktree, signal: AbortSignal): Promise<string[]> {
  if (git === undefined) return []
  const tracked = (await gitText(['ls-files', '-z', '--', ':(glob)**/.gitattributes'], { cwd: root, signal })).split('\0').filter(Boolean)
  const texts = await Promise.all([...tracked.map(path => join(root, path)), join(git.common, 'info/attributes')].map(path => readFile(path, 'utf8').catch(() => '')))
  return [...new Set([...texts.join('\n').matchAll(/\sfilter=([\w.-]+)/g)].map(match => match[1] as string))]
}
