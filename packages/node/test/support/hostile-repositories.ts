/**
 * Folders as somebody hostile would hand them over, made anew for each test: whatever git, or a program that reads beside it, could
 * be made to run, to follow or to swallow. `canary` is a file that must not appear.
 */
import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, chownSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface HostileRepository {
  name: string
  /** Fills the empty folder `dir`; returns the folder that is asked for, `dir` if nothing else is said. */
  make (dir: string, canary: string): string | undefined
  /** What a snapshot of it holds; undefined where a refusal with a code is as good. */
  files?: string[]
  /** The code that its source is refused with. */
  refused?: string
  /** One sentence of the warnings. */
  warns?: RegExp
  /** Something in it never says a word: the deadline ends it. */
  silent?: true
  /** Needs another user. */
  asRoot?: true
}

const env = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' }
export const git = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 20_000 }).trim()
export const pipe = (path: string): void => { execFileSync('mkfifo', [path]) }

/** A repository with one committed file `a`. */
export function repository (dir: string): string {
  mkdirSync(dir, { recursive: true })
  git(dir, 'init', '-q', '-b', 'main')
  writeFileSync(join(dir, 'a'), 'a\n')
  git(dir, 'add', '-A')
  git(dir, 'commit', '-q', '-m', 'first')
  return dir
}

/** Every setting that names a program, in one file. */
function programs (canary: string): string {
  const run = `touch ${canary}`
  return `
[core]
\tfsmonitor = ${run}
\thooksPath = ${canary}.hooks
\tsshCommand = ${run}
\tgitProxy = ${run}
\taskPass = ${run}
\talternateRefsCommand = ${run}
\tpager = ${run}
\teditor = ${run}
[credential]
\thelper = !${run}
[gpg]
\tprogram = ${run}
[commit]
\tgpgSign = true
[diff]
\texternal = ${run}
[filter "evil"]
\tclean = ${run}
\tsmudge = ${run}
\trequired = true
[filter "long"]
\tprocess = ${run}
\trequired = true
[alias]
\tls-files = !${run}
\trev-parse = !${run}
[protocol]
\tallow = always
[uploadpack]
\tpackObjectsHook = ${run}
[remote "origin"]
\turl = ext::${run}
\tuploadpack = ${run} #
\tvcs = ext
\tpromisor = true
\tpartialclonefilter = blob:none
[extensions]
\tpartialClone = origin
[core]
\trepositoryFormatVersion = 1
[submodule]
\trecurse = true
`
}

const settings = (dir: string, text: string): void => { appendFileSync(join(dir, '.git/config'), text) }
const zero = (path: string): void => {
  rmSync(path, { force: true })
  symlinkSync('/dev/zero', path)
}

/** Each is opened by a git that looks at the repository. */
const PIPES = ['HEAD', 'config', 'packed-refs', 'commondir', 'shallow', 'refs/heads/main', 'objects/info/alternates', `objects/pack/pack-${'ab'.repeat(20)}.idx`]
const piped = (path: string): void => {
  rmSync(path, { force: true })
  pipe(path)
}

/** Ways in which an unpacked archive can name a repository that lies elsewhere on the disk. */
const STOLEN: Array<{ name: string, lead (here: string, secret: string): void }> = [
  { name: 'a .git file', lead (here, secret) { writeFileSync(join(here, '.git'), `gitdir: ${secret}/.git\n`) } },
  { name: 'a symlink .git', lead (here, secret) { symlinkSync(join(secret, '.git'), join(here, '.git')) } },
  {
    name: 'a .git whose commondir', lead (here, secret) {
      git(here, 'init', '-q')
      copyFileSync(join(secret, '.git/index'), join(here, '.git/index'))
      writeFileSync(join(here, '.git/commondir'), `${secret}/.git\n`)
    },
  },
  {
    name: 'a linked work tree of its own making', lead (here, secret) {
      const own = join(here, '../worktrees/own')
      mkdirSync(own, { recursive: true })
      copyFileSync(join(secret, '.git/index'), join(own, 'index'))
      for (const [file, text] of [['HEAD', 'ref: refs/heads/main'], ['commondir', `${secret}/.git`], ['gitdir', `${here}/.git`]] as const) writeFileSync(join(own, file), `${text}\n`)
      writeFileSync(join(here, '.git'), 'gitdir: ../worktrees/own\n')
    },
  },
  {
    name: 'the .git file of a linked work tree elsewhere', lead (here, secret) {
      git(secret, 'worktree', 'add', '-q', '--detach', join(secret, '../linked'))
      copyFileSync(join(secret, '.git/index'), join(secret, '.git/worktrees/linked/index'))
      writeFileSync(join(here, '.git'), `gitdir: ${secret}/.git/worktrees/linked\n`)
    },
  },
  {
    name: 'the .git file of a repository apart', lead (here, secret) {
      git(secret, 'init', '-q', '--separate-git-dir', join(secret, '../apart'))
      writeFileSync(join(here, '.git'), 'gitdir: ../apart\n')
    },
  },
]

export const HOSTILE: HostileRepository[] = [
  { name: 'every setting that names a program', files: ['a'], make (dir, canary) { settings(repository(dir), programs(canary)) } },
  {
    name: 'a missing commit that a promisor would fetch', files: ['a'],
    make (dir, canary) {
      settings(repository(dir), `[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ${dir}\n\tpromisor = true\n\tuploadpack = touch ${canary} #\n`)
      writeFileSync(join(dir, '.git/refs/heads/main'), `${'12'.repeat(20)}\n`)
    },
  },
  {
    name: 'filters by tracked attributes, by info/attributes and by a macro', files: ['.gitattributes', 'a', 'b', 'c'],
    make (dir, canary) {
      repository(dir)
      writeFileSync(join(dir, '.gitattributes'), '[attr]twisted filter=evil\na filter=evil\nc twisted\n')
      writeFileSync(join(dir, '.git/info/attributes'), 'b filter=long\n')
      for (const name of ['b', 'c']) writeFileSync(join(dir, name), name)
      git(dir, 'add', '-A')
      settings(dir, programs(canary))
      for (const name of ['a', 'b', 'c']) writeFileSync(join(dir, name), `${name} changed`)
    },
  },
  {
    name: 'a repository inside the tree, with filters and a watcher of its own', files: ['a', 'inner', 'new'],
    make (dir, canary) {
      repository(dir)
      const inner = repository(join(dir, 'inner'))
      writeFileSync(join(inner, '.gitattributes'), '* filter=evil\n')
      git(dir, 'add', 'inner')
      settings(inner, programs(canary))
      writeFileSync(join(inner, 'a'), 'b\n')
      writeFileSync(join(dir, 'new'), 'so that there is something to add')
    },
  },
  {
    name: 'a bare repository inside an ordinary one', files: ['HEAD', 'config'],
    make (dir, canary) {
      const bare = join(repository(dir), 'fixtures')
      git(dir, 'init', '-q', '--bare', bare)
      appendFileSync(join(bare, 'config'), `[core]\n\tbare = false\n\tworktree = ..\n${programs(canary)}`)
      for (const name of ['hooks', 'description', 'info', 'branches']) rmSync(join(bare, name), { recursive: true, force: true })
      return bare
    },
  },
  {
    name: 'settings that are included from the tree', files: ['a', 'more'],
    make (dir, canary) {
      repository(dir)
      writeFileSync(join(dir, 'more'), programs(canary))
      settings(dir, `[include]\n\tpath = ../more\n[includeIf "gitdir:**"]\n\tpath = ../more\n`)
    },
  },
  {
    name: 'settings of a work tree', files: ['a'],
    make (dir, canary) {
      settings(repository(dir), '[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tworktreeConfig = true\n')
      writeFileSync(join(dir, '.git/config.worktree'), programs(canary).replace('[core]\n\trepositoryFormatVersion = 1\n', ''))
    },
  },
  {
    name: 'a .git file that leads to a repository elsewhere', files: ['a'], warns: /does not say that .* is its work tree/,
    make (dir, canary) {
      const there = repository(join(dir, 'there'))
      settings(there, programs(canary))
      const here = join(dir, 'here')
      mkdirSync(here)
      writeFileSync(join(here, 'a'), 'a')
      writeFileSync(join(here, '.git'), `gitdir: ${join(there, '.git')}\n`)
      return here
    },
  },
  {
    name: 'a commondir and alternates that lead elsewhere', files: ['a'], warns: /does not say that .* is its work tree/,
    make (dir, canary) {
      repository(dir)
      const there = repository(join(dir, '..', 'elsewhere'))
      settings(there, programs(canary))
      writeFileSync(join(dir, '.git/commondir'), `${join(there, '.git')}\n`)
      writeFileSync(join(there, '.git/objects/info/alternates'), '/dev\n')
    },
  },
  ...STOLEN.map(({ name, lead }): HostileRepository => ({
    name: `${name} that leads to another repository of the user's, with files that are only committed`, files: ['b'], warns: /does not say that .* is its work tree/,
    make (dir) {
      const secret = repository(join(dir, 'secret'))
      git(secret, 'update-index', '--skip-worktree', 'a')
      rmSync(join(secret, 'a'))
      const here = join(dir, 'here')
      mkdirSync(here)
      writeFileSync(join(here, 'b'), 'b')
      lead(here, secret)
      return here
    },
  })),
  {
    name: 'core.worktree that names the whole disk', files: ['a'], warns: /says that its work tree is \//,
    make (dir) { settings(repository(dir), '[core]\n\tworktree = /\n') },
  },
  {
    name: 'core.worktree that names a folder beside it', files: ['a'], warns: /says that its work tree is/,
    make (dir) {
      settings(repository(join(dir, 'x')), `[core]\n\tworktree = ${join(dir, 'y')}\n`)
      repository(join(dir, 'y'))
      return join(dir, 'x')
    },
  },
  {
    name: 'a core.worktree beside it that agrees', files: ['a'], warns: /says that its work tree is/,
    make (dir) {
      const [asked, other] = [repository(join(dir, 'x')), join(dir, 'y')]
      settings(asked, `[core]\n\tworktree = ${other}\n`)
      mkdirSync(other)
      writeFileSync(join(other, 'b'), 'b')
      writeFileSync(join(other, '.git'), `gitdir: ${join(asked, '.git')}\n`)
      return asked
    },
  },
  {
    name: 'core.worktree that names a repository above', files: ['a'], warns: /says that its work tree is/,
    make (dir) {
      repository(dir)
      settings(repository(join(dir, 'x')), `[core]\n\tworktree = ${dir}\n`)
      return join(dir, 'x')
    },
  },
  {
    name: 'a .git of another user in a folder above', files: ['f'], warns: /belongs to another user/, asRoot: true,
    make (dir, canary) {
      settings(repository(dir), programs(canary))
      git(dir, 'config', '--unset', 'extensions.partialClone')
      execFileSync('chown', ['-R', '65534:65534', dir])
      chmodSync(dir, 0o777)
      mkdirSync(join(dir, 'mine'))
      chownSync(join(dir, 'mine'), process.getuid?.() ?? 0, process.getgid?.() ?? 0)
      writeFileSync(join(dir, 'mine/f'), 'f')
      return join(dir, 'mine')
    },
  },
  {
    name: 'replaced and grafted commits', files: ['a'],
    make (dir) {
      repository(dir)
      const head = git(dir, 'rev-parse', 'HEAD')
      writeFileSync(join(dir, '.git/info/grafts'), `${head} ${'ab'.repeat(20)}\n`)
      mkdirSync(join(dir, '.git/refs/replace'), { recursive: true })
      writeFileSync(join(dir, '.git/refs/replace', head), `${'cd'.repeat(20)}\n`)
    },
  },
  {
    name: 'thirty tracked .gitattributes that are /dev/zero', refused: 'SOURCE_INVALID',
    make (dir) {
      repository(dir)
      for (let i = 0; i < 30; i++) {
        mkdirSync(join(dir, `d${i}`))
        symlinkSync('/dev/zero', join(dir, `d${i}/.gitattributes`))
      }
      git(dir, 'add', '-A')
    },
  },
  ...['info/exclude', 'info/attributes', 'index'].map((name): HostileRepository => ({
    name: `.git/${name} that is /dev/zero`, files: ['a'], warns: /symlink/,
    make (dir) { zero(join(repository(dir), '.git', name)) },
  })),
  {
    name: '.git/info/exclude that is a pipe', files: ['a'], warns: /no regular file/,
    make (dir) {
      rmSync(join(repository(dir), '.git/info/exclude'), { force: true })
      pipe(join(dir, '.git/info/exclude'))
    },
  },
  ...['shallow', 'HEAD', 'config', 'packed-refs', 'commondir'].map((name): HostileRepository => ({
    name: `.git/${name} that is /dev/zero`, refused: 'SOURCE_INVALID', make (dir) { zero(join(repository(dir), '.git', name)) },
  })),
  ...PIPES.map((name): HostileRepository => ({
    name: `.git/${name} that is a pipe`, refused: 'SOURCE_INVALID', make (dir) { piped(join(repository(dir), '.git', name)) },
  })),
  {
    name: 'alternates that are /dev/zero', refused: 'SOURCE_INVALID',
    make (dir) { zero(join(repository(dir), '.git/objects/info/alternates')) },
  },
  {
    name: '.git that is a pipe', refused: 'SOURCE_INVALID',
    make (dir) { pipe(join(dir, '.git')) },
  },
  {
    name: 'HEAD that is a pipe, in a folder without a repository', refused: 'SOURCE_INVALID',
    make (dir) { pipe(join(dir, 'HEAD')) },
  },
  {
    name: 'a work tree of its own whose repository has a pipe as its settings', refused: 'SOURCE_INVALID',
    make (dir) {
      repository(join(dir, 'main'))
      git(join(dir, 'main'), 'worktree', 'add', '-q', '../linked')
      piped(join(dir, 'main/.git/config'))
      return join(dir, 'linked')
    },
  },
  {
    name: '.gitignore that is a pipe', silent: true,
    make (dir) { pipe(join(repository(dir), '.gitignore')) },
  },
]

/** A new folder, and a canary beside it. */
export function place (root: string = tmpdir(), count: number = Math.floor(Math.random() * 1e9)): { dir: string, canary: string } {
  const dir = join(root, `hostile-${count}`, 'dir')
  mkdirSync(dir, { recursive: true })
  return { dir, canary: join(dir, '..', 'canary') }
}
