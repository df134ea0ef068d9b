/**
 * Packs the three packages as `npm publish` would, from a copy: nothing in the working tree changes, even when this is killed.
 *
 *     node tools/pack.mjs <folder>                # after `npm run build`; prints one tarball path a line
 *     node tools/pack.mjs <folder> --unbundled    # what tsc made, with every dependency, to compare with
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const PACKAGES = ['protocol', 'crdt-stack', 'node']
const SKIPPED = new Set(['node_modules', 'test', '.tsbuildinfo'])

/** Answers the paths of the tarballs, in the order of PACKAGES. */
export function packAll (folder, { bundled = true } = {}) {
  const to = resolve(folder)
  const copy = mkdtempSync(join(tmpdir(), 'elder-pack-'))
  try {
    cpSync(join(root, 'package.json'), join(copy, 'package.json'))
    cpSync(join(root, 'tools'), join(copy, 'tools'), { recursive: true })
    for (const name of PACKAGES) {
      const at = join(root, 'packages', name)
      if (!existsSync(join(at, bundled ? 'published.json' : 'dist'))) throw new Error(`packages/${name} is not built. Fix: npm run build`)
      cpSync(at, join(copy, 'packages', name), { recursive: true, filter: path => !SKIPPED.has(relative(at, path).split('/')[0]) })
    }
    mkdirSync(to, { recursive: true })
    // --silent: npm prints nothing of the scripts; without --ignore-scripts it runs prepack, which puts the published manifest in place.
    execFileSync('npm', ['pack', '--workspaces', '--silent', '--pack-destination', to, ...bundled ? [] : ['--ignore-scripts']], { cwd: copy, stdio: ['ignore', 'ignore', 'inherit'] })
    return PACKAGES.map(name => {
      const { name: full, version } = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'))
      return join(to, `${full.replace('@', '').replace('/', '-')}-${version}.tgz`)
    })
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { 2: folder = '.', 3: form } = process.argv
  for (const path of packAll(folder, { bundled: form !== '--unbundled' })) console.log(path)
}
