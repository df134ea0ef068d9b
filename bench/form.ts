/**
 * What users run: the three packages as `npm publish` ships them, laid out as npm installs them, without asking a registry.
 * Yjs and lib0, which stay outside of the bundles, come from this repository's tree.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..')
const PACKAGES = { protocol: '@elder-node/protocol', 'crdt-stack': '@elder-node/crdt-stack', node: 'elder-node' }

export interface Form {
  name: 'published' | 'dist'
  /** The command. */
  bin: string
  /** The harness's device, which imports `elder-node` of this form. */
  device: string
  remove (): void
}

/** What tsc made, with every dependency in node_modules: no bundling needed, for the smoke test. */
export function distForm (): Form {
  return { name: 'dist', bin: join(root, 'packages/node/bin/elder-node.js'), device: join(import.meta.dirname, 'device.ts'), remove () {} }
}

export function publishedForm (): Form {
  bundleWhenOld()
  const dir = mkdtempSync(join(tmpdir(), 'elder-form-'))
  for (const [folder, name] of Object.entries(PACKAGES)) install(join(root, 'packages', folder), join(dir, 'node_modules', name))
  for (const outside of ['yjs', 'lib0']) symlinkSync(join(root, 'node_modules', outside), join(dir, 'node_modules', outside))
  // A module finds its packages from where it lies.
  for (const file of ['device.ts', 'noop-engine.ts', 'socket-bytes.ts', 'stats.ts']) copyFileSync(join(import.meta.dirname, file), join(dir, file))
  return { name: 'published', bin: join(dir, 'node_modules/elder-node/bin/elder-node.js'), device: join(dir, 'device.ts'), remove: () => { rmSync(dir, { recursive: true, force: true }) } }
}

function install (from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  const { files } = JSON.parse(readFileSync(join(from, 'published.json'), 'utf8')) as { files: string[] }
  copyFileSync(join(from, 'published.json'), join(to, 'package.json'))
  for (const name of files) if (existsSync(join(from, name))) cpSync(join(from, name), join(to, name), { recursive: true })
}

/** A bundle of another day would measure another day's code. */
function bundleWhenOld (): void {
  const newest = (folder: string): number => Math.max(0, ...readdirSync(folder, { recursive: true, withFileTypes: true }).map(entry => entry.isFile() ? statSync(join(entry.parentPath, entry.name)).mtimeMs : 0))
  const old = Object.keys(PACKAGES).some(folder => {
    const manifest = join(root, 'packages', folder, 'published.json')
    return !existsSync(manifest) || statSync(manifest).mtimeMs < newest(join(root, 'packages', folder, 'src'))
  })
  if (!old) return
  const path = [dirname(process.execPath), join(root, 'node_modules/.bin'), process.env['PATH']].join(':')
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PATH: path } })
}
