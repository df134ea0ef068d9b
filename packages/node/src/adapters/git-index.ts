/**
 * Our copy of the index of a user's work tree, and how it comes to say what is on the disk: what counts is there, whatever the
 * user's index believes.
 */
import { isUtf8 } from 'node:buffer'
import { access, constants, lstat, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ElderError, LIMITS } from '@elder-node/protocol'
import { copyForeign, FOREIGN_FILES } from './foreign-files.ts'
import { gitFailed, RAW_ATTRIBUTES, runGit, type GitOptions } from './git-run.ts'
import { shownName, zeroEnded } from './git-tree.ts'
import type { Worktree } from './git-worktree.ts'

/** Bytes of new and changed files in one snapshot: what a builder unpacks at most. */
const NEW_BYTES_MAX = 2 * LIMITS.sourceBytesMax
/** A split index may name so many shared parts. */
const SHARED_MAX = 8
/** Files that git could not take before it is given up. */
const FAILED_MAX = 20

/** A file that is no part of the snapshot, and why: the end of a sentence that begins with its name. */
export interface Left { path: string, why: string }

/** A copy of the user's index, whose knowledge of unchanged files saves hashing them; of a plain folder, of our last one. */
export async function openIndex (repo: string, index: string, { git }: Worktree): Promise<string[]> {
  const from = git === undefined ? join(repo, 'index') : join(git.dir, 'index')
  const times = await lstat(from).catch(() => undefined)
  if (times === undefined) return []
  const odd = await copyForeign(from, index, FOREIGN_FILES.index) ?? (git === undefined ? undefined : await copyShared(git.dir, repo))
  if (odd !== undefined) {
    await rm(index, { force: true })
    return [`git's index of this folder was not used: ${odd}`]
  }
  // Git distrusts entries younger than their index: the copy must not look younger than the original.
  const second = Math.floor(times.mtimeMs / 1000)
  await utimes(index, second, second)
  return []
}

/** A split index leaves most of itself in a file beside it. */
async function copyShared (from: string, to: string): Promise<string | undefined> {
  const shared = (await readdir(from)).filter(name => /^sharedindex\.[0-9a-f]{40}$/.test(name)).slice(0, SHARED_MAX)
  for (const name of shared) {
    const odd = await copyForeign(join(from, name), join(to, name), FOREIGN_FILES.index)
    if (odd !== undefined) return odd
  }
  return undefined
}

/**
 * The user's index may call a file unchanged without a look at it (`--assume-unchanged`, `--skip-worktree`), and a build would be of
 * other content than the disk shows. Only what a sparse checkout does not have on the disk stays as committed. Entries whose names
 * are not UTF-8 leave our copy: not every builder can write them. Returns those names.
 */
export async function onlyWhatIsThere (root: string, git: GitOptions): Promise<string[]> {
  const { stdout } = await runGit(['ls-files', '-v', '-z'], git)
  // `H` for an ordinary entry; `S` for one that is skipped; in lower case one that is assumed unchanged.
  const odd = zeroEnded(stdout).filter(line => line[0] !== 0x48 || !isUtf8(line)).map(line => ({ tag: String.fromCharCode(line[0] ?? 0), name: line.subarray(2) }))
  const unnamed = odd.filter(({ name }) => !isUtf8(name)).map(({ name }) => name)
  await mark('--force-remove', unnamed, git)
  const named = odd.filter(({ name }) => isUtf8(name)).map(({ tag, name }) => ({ tag, name: name.toString() }))
  await mark('--no-assume-unchanged', named.filter(({ tag }) => tag !== tag.toUpperCase()).map(({ name }) => name), git)
  const skipped = named.filter(({ tag }) => tag.toUpperCase() === 'S').map(({ name }) => name)
  const there: string[] = []
  for (let at = 0; at < skipped.length; at += 256) {
    await Promise.all(skipped.slice(at, at + 256).map(name => lstat(join(root, name)).then(() => { there.push(name) }, () => {})))
  }
  await mark('--no-skip-worktree', there, git)
  return unnamed.map(shownName)
}

export async function mark (option: string, names: Array<string | Buffer>, git: GitOptions): Promise<void> {
  if (names.length > 0) await runGit(['update-index', option, '-z', '--stdin'], { ...git, stdin: Buffer.concat(names.flatMap(name => [Buffer.from(name as string), Buffer.of(0)])) })
}

/** Paths that differ from the index: new, changed and deleted ones. Without any there is nothing to add. */
export async function changedPaths (git: GitOptions, unnamed: Set<string>): Promise<string[]> {
  const { stdout } = await runGit(['ls-files', '-z', '-o', '-m', '--exclude-standard'], git)
  if (isUtf8(stdout)) return stdout.toString().split('\0').filter(Boolean)
  const names = zeroEnded(stdout)
  for (const name of names) if (!isUtf8(name)) unnamed.add(shownName(name))
  return names.filter(name => isUtf8(name)).map(String)
}

/**
 * Before anything is hashed: a home directory taken for a project would otherwise be copied whole into the private repository. What
 * cannot be read is left out, and said.
 */
export async function readable (paths: string[], root: string): Promise<{ paths: string[], left: Left[] }> {
  const left: string[] = []
  let bytes = 0
  for (let at = 0; at < paths.length; at += 256) {
    const sizes = await Promise.all(paths.slice(at, at + 256).map(async path => {
      const found = await lstat(join(root, path)).catch(() => undefined)
      const mayRead = found?.isFile() !== true || await access(join(root, path), constants.R_OK).then(() => true, () => false)
      if (!mayRead) left.push(path)
      return found?.size ?? 0
    }))
    bytes += sizes.reduce((sum, size) => sum + size, 0)
    if (bytes > NEW_BYTES_MAX) throw new ElderError('SOURCE_TOO_LARGE', `${root} holds more than ${NEW_BYTES_MAX} bytes of files that git does not know yet`, 'Is this the project\'s folder? List what a build does not need in .gitignore.')
  }
  const out = new Set(left)
  return { paths: paths.filter(path => !out.has(path)), left: left.map(path => ({ path, why: 'cannot be read' })) }
}

/**
 * Plumbing, since `git add` runs `git status` in every repository inside the tree, and with it what their settings name. A path that
 * fails twice is left out, and said; the first time it may just have changed.
 */
export async function update (paths: string[], git: GitOptions): Promise<Left[]> {
  const left: Left[] = []
  const failed = new Set<string>()
  for (let todo = paths; todo.length > 0;) {
    const stdin = todo.map(path => `${path.replace(/\/$/, '')}\0`).join('')
    const { code, stderr } = await runGit(['update-index', '--add', '--remove', '--replace', '-z', '--stdin'], { ...git, stdin, allow: [128] })
    if (code === 0) break
    const path = /^fatal: Unable to process path (.*)$/m.exec(stderr)?.[1]
    if (path === undefined || failed.size > FAILED_MAX) throw gitFailed(['update-index'], code, stderr)
    if (failed.has(path)) {
      left.push({ path, why: stderr.includes('is a directory') ? 'is a repository of its own without a commit' : `(${/^error: (.*)$/m.exec(stderr)?.[1] ?? 'git cannot add it'})` })
      todo = todo.filter(other => other.replace(/\/$/, '') !== path)
    }
    failed.add(path)
  }
  return left
}

/**
 * Files that a filter (Git LFS) keeps elsewhere leave the index, so that they enter with their content, not as pointers. Asked with
 * the user's attributes; from then on those of {@link RAW_ATTRIBUTES} stand above them, and no filter runs.
 */
export async function dropFiltered (repo: string, git: GitOptions): Promise<void> {
  const filtered = (await runGit(['ls-files', '-z', '--', '.', ':(exclude,attr:!filter)', ':(exclude,attr:-filter)'], git)).stdout
  await writeFile(join(repo, 'info/attributes'), RAW_ATTRIBUTES)
  await mark('--force-remove', zeroEnded(filtered), git)
}
