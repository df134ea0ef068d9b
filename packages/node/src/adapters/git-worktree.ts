/**
 * Where a folder's source comes from: the git work tree around it, or the folder alone.
 *
 * A `.git` may have been made by anybody: by another user in a folder above, or by whoever packed an archive. Of such a repository
 * git is asked where it is, what HEAD says and which work tree it names, for which no object is looked up and so none fetched;
 * everything else happens in a repository of ours.
 */
import { createHash } from 'node:crypto'
import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { FOREIGN_FILES, isBelow, readForeign } from './foreign-files.ts'
import { runGit } from './git-run.ts'
import { specialFile } from './git-special-files.ts'

export interface Worktree {
  /** Absolute path of the tree's root, without symlinks. */
  root: string
  /** The asked-for folder relative to the root, `.` for the root. */
  cwd: string
  /** The repository's own folders, and its commit if it has one; undefined for a plain folder. */
  git: { dir: string, common: string, head: string | undefined } | undefined
  /** Why a repository that is there was not used. */
  warnings: string[]
}

/** Of a question about one folder. */
const ASK_MS = 60_000
const COMMIT = /^[0-9a-f]{40}$/

/** @throws ElderError `NOT_A_FOLDER`, `SOURCE_INVALID` for a repository in which git would wait for a pipe */
export async function findWorktree (dir: string, signal: AbortSignal, deadlineMs: number = ASK_MS): Promise<Worktree> {
  const path = await realpath(dir).catch(() => resolve(dir))
  if (!await stat(path).then(found => found.isDirectory(), () => false)) throw new ElderError('NOT_A_FOLDER', `${dir} is not a folder`, 'Give the folder to build.')
  const special = await specialFile(path)
  if (special !== undefined) throw new ElderError('SOURCE_INVALID', `the git repository of ${path} cannot be read: ${special}`, 'Remove it, or get the repository anew: no git makes one.')
  const asked = await runGit(['rev-parse', '--show-toplevel', '--absolute-git-dir', '--git-common-dir', '--show-object-format', '--revs-only', 'HEAD'], { profile: 'foreign', cwd: path, signal, allow: [128], deadlineMs })
  const [top = '', own = '', common = '', format, head = '', ...rest] = asked.stdout.toString().split('\n')
  if (asked.code !== 0) return plainFolder(path, refused(path, asked.stderr))
  // Object ids that are not the 40 digits of the wire, or a line break in a path: the files alone are the source.
  if (format !== 'sha1' || rest.length > 1) return plainFolder(path)
  const root = await realpath(top).catch(() => top)
  if (!isBelow(root, path) || !await isOf(root, own)) return plainFolder(path, [`the git repository ${own} says that its work tree is ${root}, which has another .git: the files of ${path} are the source`])
  if (!await namesBack(root, own, resolve(path, common), signal, deadlineMs)) return plainFolder(path, [stranger(root, own, path)])
  return { root, cwd: relative(root, path) || '.', git: { dir: own, common: resolve(path, common), head: COMMIT.test(head) ? head : undefined }, warnings: [] }
}

export function plainFolder (path: string, warnings: string[] = []): Worktree { return { root: path, cwd: '.', git: undefined, warnings } }

/** Names the project on any device: by its first commit, or by the path of a plain folder. Warm caches go by it. */
export function projectName (root: string, firstCommit: string | undefined): string {
  const text = firstCommit === undefined ? `elder/project/path\0${root}` : `elder/project/root\0${firstCommit}`
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** Of a repository that is there and that git does not use. */
function refused (path: string, stderr: string): string[] {
  if (/dubious ownership|unsafe repository/.test(stderr)) {
    const where = /'([^'\n]+)'/.exec(stderr)?.[1] ?? path
    return [`the git repository at ${where} belongs to another user, so git does not use it: the files of ${path} are the source (if you trust it: git config --global --add safe.directory ${where})`]
  }
  const why = stderr.split('\n').find(line => line.startsWith('fatal: '))?.slice(7)
  return why === undefined || /not a git repository|must be run in a work tree|cannot use bare repository/.test(why) ? [] : [`git does not use the repository here (${why.slice(0, 200)}): the files of ${path} are the source`]
}

/** True when the `.git` in the root is that repository: `core.worktree` can name any folder of the disk as the root. */
async function isOf (root: string, dir: string): Promise<boolean> {
  const entry = join(root, '.git')
  const found = await lstat(entry).catch(() => undefined)
  const file = found?.isFile() === true ? await readForeign(entry, FOREIGN_FILES.gitfile) : undefined
  const named = file?.bytes === undefined ? entry : resolve(root, /^gitdir: (.+?)\s*$/.exec(file.bytes.toString())?.[1] ?? '.git')
  const [there, said] = await Promise.all([named, dir].map(path => realpath(path).catch(() => undefined)))
  return there !== undefined && there === said
}

/**
 * True when the repository says itself that this is its work tree. Whoever packs an archive writes its `.git`, and may name any
 * repository of the user there, whose files would be sent; into that repository he cannot write.
 */
async function namesBack (root: string, own: string, common: string, signal: AbortSignal, deadlineMs: number): Promise<boolean> {
  const [dir, shared] = await Promise.all([own, common].map(path => realpath(path).catch(() => undefined)))
  if (dir === undefined || shared === undefined) return false
  if (dir === shared) return dir === join(root, '.git') || await hasWorktree(root, dir, signal, deadlineMs)
  // A linked work tree lies inside of the repository that it borrows from: only its owner could have put it there.
  if (dirname(dir) !== join(shared, 'worktrees')) return false
  const back = (await readForeign(join(dir, 'gitdir'), FOREIGN_FILES.gitfile))?.bytes?.toString().trimEnd()
  if (back === undefined || basename(back) !== '.git') return false
  return await realpath(resolve(dir, dirname(back))).catch(() => undefined) === root
}

/** True when `core.worktree` of the repository's own settings is the root: in submodules, and where a person has set it. */
async function hasWorktree (root: string, dir: string, signal: AbortSignal, deadlineMs: number): Promise<boolean> {
  const asked = await runGit(['config', '--null', '--show-scope', '--get', 'core.worktree'], { profile: 'foreign', cwd: root, signal, allow: [1, 128], deadlineMs })
  const [scope = '', value] = asked.stdout.toString().split('\0')
  if (value === undefined || !/^(local|worktree)$/.test(scope)) return false
  return await realpath(resolve(dir, value)).catch(() => undefined) === root
}

function stranger (root: string, own: string, path: string): string {
  const fix = basename(dirname(own)) === 'worktrees' ? 'git worktree repair' : `git --git-dir=${own} config core.worktree ${root}`
  return `the git repository ${own} does not say that ${root} is its work tree: the files of ${path} are the source (if it is: ${fix})`
}
