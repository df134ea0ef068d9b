/**
 * The name under which a prepared tree is kept: a digest of everything that is known to decide what the prepare command adds. The
 * tree is a fresh checkout, and its symlinks stay inside.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, readdir, readlink, realpath, stat } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { PrepareParts } from '../ports/prepare.ts'
import { isBelow, readForeignInside } from './foreign-files.ts'

/** What each tool reads before it installs: manifests, lock files and settings. A name with a slash is the end of a path. */
const READ_BY: Record<string, Array<string | RegExp>> = {
  npm: ['package.json', 'package-lock.json', 'npm-shrinkwrap.json', '.npmrc', 'binding.gyp'],
  pnpm: ['pnpm-lock.yaml', 'pnpm-workspace.yaml', '.pnpmfile.cjs', '.pnpmfile.mjs'],
  yarn: ['yarn.lock', '.yarnrc', '.yarnrc.yml', /(^|\/)\.yarn\/(patches|plugins|releases)\//],
  bun: ['bun.lock', 'bun.lockb', 'bunfig.toml'],
  deno: ['deno.lock', 'deno.json', 'deno.jsonc'],
  'patch-package': [/\.patch$/],
  monorepos: ['lerna.json', 'nx.json', 'turbo.json', 'rush.json'],
  Rust: ['Cargo.toml', 'Cargo.lock', '.cargo/config', '.cargo/config.toml', 'build.rs', 'rust-toolchain', 'rust-toolchain.toml'],
  Go: ['go.mod', 'go.sum', 'go.work', 'go.work.sum'],
  Python: [
    'pyproject.toml', 'setup.py', 'setup.cfg', 'poetry.lock', 'poetry.toml', 'uv.lock', 'uv.toml', 'pdm.lock', 'pdm.toml', 'Pipfile', 'Pipfile.lock',
    'pip.conf', 'environment.yml', 'environment.yaml', 'conda-lock.yml', 'pixi.toml', 'pixi.lock', 'tox.ini', 'noxfile.py',
    /(^|\/)(requirements|constraints)[\w.-]*\.(txt|in)$/, /(^|\/)(requirements|constraints)\/[^/]+\.(txt|in)$/,
  ],
  Ruby: ['Gemfile', 'Gemfile.lock', 'gems.rb', 'gems.locked', '.bundle/config', /\.gemspec$/],
  PHP: ['composer.json', 'composer.lock', 'auth.json'],
  Maven: ['pom.xml', /(^|\/)\.mvn\//],
  Gradle: ['build.gradle', 'build.gradle.kts', 'settings.gradle', 'settings.gradle.kts', 'gradle.properties', 'gradle.lockfile', /(^|\/)gradle\/[^/]+\.toml$/, /(^|\/)gradle\/wrapper\//, 'gradlew'],
  Elixir: ['mix.exs', 'mix.lock'],
  Dart: ['pubspec.yaml', 'pubspec.lock'],
  CocoaPods: ['Podfile', 'Podfile.lock', /\.podspec$/],
  Swift: ['Package.swift', 'Package.resolved'],
  '.NET': ['packages.lock.json', 'packages.config', 'NuGet.Config', 'nuget.config', 'global.json', /(^|\/)Directory\.[\w.]+\.(props|targets)$/, /\.(cs|fs|vb)proj$/, /\.slnx?$/],
  Nix: ['flake.nix', 'flake.lock', 'shell.nix', 'default.nix'],
  'versions of tools': ['.tool-versions', 'mise.toml', '.mise.toml', '.nvmrc', '.node-version', '.python-version', '.ruby-version', '.java-version'],
  'runners of commands': ['Makefile', 'makefile', 'GNUmakefile', 'justfile', 'Justfile', '.justfile', 'Taskfile.yml', 'Taskfile.yaml', 'Rakefile'],
}
const KNOWN = Object.values(READ_BY).flat()
const NAMES = new Set(KNOWN.filter(name => typeof name === 'string' && !name.includes('/')))
const ENDS = KNOWN.filter(name => typeof name === 'string' && name.includes('/')) as string[]
const PATTERNS = KNOWN.filter(name => typeof name !== 'string')

/** Scripts of a package.json that installing it runs. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare']
/** Of a package.json whose scripts are read; a longer one counts with its bytes alone. */
const SCRIPTS_BYTES_MAX = 65_536

/** Where a word of a shell ends; `=` too, for `--file=x` and `FILE=x`. */
const BETWEEN_WORDS = /[\s'"`;&|()<>{}$=,:]+/
/** Words looked at, and the folders of one: enough for any command that a person wrote. */
const WORDS_MAX = 2000
const DEPTH_MAX = 64

export async function prepareKey (parts: PrepareParts, tree: string, signal: AbortSignal): Promise<string> {
  const { requester, project, command, cwd, engine, image, platform } = parts
  const files: string[] = []
  for await (const path of filesBelow(tree, '')) {
    signal.throwIfAborted()
    files.push(path)
  }
  const words = wordsOf([command, ...await installScripts(tree, files)])
  const [exact, ends] = [new Set(words), new Set(words.flatMap(endsOf))]
  const wanted = new Set(files.filter(path => isKnown(path) || ends.has(path) || isNamed(path, exact)))
  // Also what lies where no file is looked for: below node_modules, or behind a symlink to a folder.
  for (const word of words) for (const path of [posix.join(cwd, word), word]) if (await fileOf(tree, path) !== undefined) wanted.add(path)
  const hash = createHash('sha256')
  hash.update(JSON.stringify(['elder/prepare/v2', requester, project, command, cwd, engine, image, platform]))
  for (const path of [...wanted].sort()) hash.update(JSON.stringify([path, ...await contentOf(tree, path, signal)]))
  return hash.digest('hex').slice(0, 40)
}

function wordsOf (commands: string[]): string[] {
  return [...new Set(commands.flatMap(command => command.split(BETWEEN_WORDS)).filter(Boolean).slice(0, WORDS_MAX).map(word => posix.normalize(word)))]
}

/** `/elder/tree/tools/setup.sh` and what is left of `$PWD/setup.sh` name a file of the tree by the end of the word. */
function endsOf (word: string): string[] {
  const parts = word.split('/').slice(-DEPTH_MAX)
  return parts.map((_, at) => parts.slice(at).join('/'))
}

async function installScripts (tree: string, files: string[]): Promise<string[]> {
  const scripts: string[] = []
  for (const path of files) {
    if (scripts.length >= WORDS_MAX) break
    if (path !== 'package.json' && !path.endsWith('/package.json')) continue
    const found = (await readForeignInside(tree, path, SCRIPTS_BYTES_MAX))?.bytes
    if (found !== undefined) scripts.push(...scriptsOf(found.toString()))
  }
  return scripts
}

function scriptsOf (text: string): string[] {
  try {
    const { scripts } = JSON.parse(text) as { scripts?: Record<string, unknown> }
    return INSTALL_SCRIPTS.map(name => scripts?.[name]).filter(script => typeof script === 'string')
  } catch {
    return []
  }
}

function isKnown (path: string): boolean {
  return NAMES.has(path.slice(path.lastIndexOf('/') + 1)) || ENDS.some(end => path === end || path.endsWith(`/${end}`)) || PATTERNS.some(pattern => pattern.test(path))
}

/** By the end of its path: where the command stands when it comes to the word, only a shell knows. */
function isNamed (path: string, words: Set<string>): boolean {
  for (let at = path.length; at > 0;) {
    at = path.lastIndexOf('/', at - 1)
    if (words.has(path.slice(at + 1))) return true
  }
  return false
}

/** Files and symlinks of a checkout; what package managers make and git's own aside. */
async function * filesBelow (tree: string, dir: string): AsyncGenerator<string> {
  for (const entry of await readdir(join(tree, dir), { withFileTypes: true })) {
    const path = dir === '' ? entry.name : `${dir}/${entry.name}`
    if (entry.isFile() || entry.isSymbolicLink()) yield path
    else if (entry.isDirectory() && entry.name !== 'node_modules' && entry.name !== '.git') yield * filesBelow(tree, path)
  }
}

/** The regular file of the tree that a path leads to, through symlinks. */
async function fileOf (tree: string, path: string): Promise<string | undefined> {
  const [root, real] = await Promise.all([tree, join(tree, path)].map(name => realpath(name).catch(() => undefined)))
  if (root === undefined || real === undefined || !isBelow(root, real)) return undefined
  return await stat(real).then(found => found.isFile(), () => false) ? real : undefined
}

/** Mode and bytes; of a symlink also where it leads. */
async function contentOf (tree: string, path: string, signal: AbortSignal): Promise<Array<string | number>> {
  const found = await lstat(join(tree, path))
  const leads = found.isSymbolicLink() ? [await readlink(join(tree, path))] : []
  const file = await fileOf(tree, path)
  return [...leads, ...file === undefined ? [] : [(await stat(file)).mode & 0o100, await hashOf(file, signal)]]
}

/**
 * In pieces: under the name of a lock file a requester may send as much as a whole source. A pipe in its place
 * would have no end to wait for.
 */
async function hashOf (path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false, signal }) as AsyncIterable<Buffer>) hash.update(chunk)
  } finally {
    await handle.close()
  }
  return hash.digest('hex')
}
