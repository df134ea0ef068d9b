/** What the demo builds: this clone's own packages/protocol, or, outside a clone, a small project without dependencies. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packageRoot } from '../../package-root.ts'

const run = promisify(execFile)

export interface Project {
  title: string
  /** The folder that is given to `elder-node build`. */
  dir: string
  prepare: string | undefined
  command: string[]
  /** Globs of what comes back, relative to the tree root. */
  outputs: string
  /** Builds the same tree on this machine without elder-node and answers sha256 by path, relative to the tree root. */
  buildHere (temp: string): Promise<Map<string, string>>
}

export async function chooseProject (temp: string): Promise<Project> {
  const root = fileURLToPath(new URL('../..', packageRoot))
  return isClone(root) ? cloneProject(root) : await smallProject(join(temp, 'project'))
}

function isClone (root: string): boolean {
  if (!existsSync(join(root, '.git')) || !existsSync(join(root, 'package-lock.json'))) return false
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { name?: string }).name === 'elder-node-workspace'
}

function cloneProject (root: string): Project {
  const outputs = 'packages/protocol/dist'
  return {
    title: 'this repository\'s packages/protocol: compiled and tested',
    dir: join(root, 'packages', 'protocol'),
    // What this one package needs, from the lock file: the network stack of the others stays away.
    prepare: 'npm ci --workspace @elder-node/protocol --include-workspace-root --ignore-scripts --no-audit --no-fund --loglevel=error',
    // The tree's own Node 24 first: the machine's may be older than the test runner.
    command: ['sh', '-c', 'PATH="$PWD/../../node_modules/.bin:$PATH" && export PATH && npm run build --silent && vitest run --root ../.. --project protocol'],
    outputs: `${outputs}/**`,
    async buildHere (temp) {
      const tree = join(temp, 'built-here')
      await mkdir(join(tree, 'packages'), { recursive: true })
      await cp(join(root, 'tsconfig.base.json'), join(tree, 'tsconfig.base.json'))
      await cp(join(root, 'packages', 'protocol'), join(tree, 'packages', 'protocol'), { recursive: true, filter: (path) => !/[/\\](dist|node_modules|\.tsbuildinfo)$/.test(path) })
      await symlink(join(root, 'node_modules'), join(tree, 'node_modules'))
      await run(join(root, 'node_modules', '.bin', 'tsc'), ['-b', join(tree, 'packages', 'protocol')])
      return await hashes(tree, outputs)
    },
  }
}

const SCRIPT = `set -eu
mkdir -p dist
for page in pages/*.txt; do
  name=$(basename "$page" .txt)
  { echo "<h1>$name</h1>"; sed 's/^/<p>/; s/$/<\\/p>/' "$page"; } > "dist/$name.html"
  echo "built dist/$name.html"
done
test "$(grep -c '<p>' dist/sleeve.html)" -eq 2
echo "tests passed"
`

async function smallProject (dir: string): Promise<Project> {
  await mkdir(join(dir, 'pages'), { recursive: true })
  await writeFile(join(dir, 'pages', 'sleeve.txt'), 'A sleeve can be lost.\nThe stack stays.\n')
  await writeFile(join(dir, 'pages', 'mesh.txt'), 'Your devices are one build farm.\n')
  await writeFile(join(dir, 'make.sh'), SCRIPT)
  return {
    title: 'a small project without dependencies',
    dir, prepare: undefined, command: ['sh', 'make.sh'], outputs: 'dist/**',
    async buildHere (temp) {
      const tree = join(temp, 'built-here')
      await cp(dir, tree, { recursive: true, filter: (path) => path !== join(dir, 'dist') })
      await run('sh', ['make.sh'], { cwd: tree })
      return await hashes(tree, 'dist')
    },
  }
}

/** sha256 in hex of every file below `tree/folder`, by path relative to the tree. */
export async function hashes (tree: string, folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const entry of await readdir(join(tree, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found.set(relative(tree, path).split(sep).join('/'), createHash('sha256').update(await readFile(path)).digest('hex'))
  }
  return found
}

/** One hash for a whole manifest: sha256 over its sorted `<sha256>  <path>` lines, as `sha256sum` prints them. */
export function manifestHash (files: Map<string, string>): string {
  const lines = [...files].map(([path, sha256]) => `${sha256}  ${path}\n`).sort()
  return createHash('sha256').update(lines.join('')).digest('hex')
}
