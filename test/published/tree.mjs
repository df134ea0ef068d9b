/** The production tree as npm installed it: how much, no install script anywhere, one copy of yjs. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { folderOf, install, run, say } from './support.mjs'

const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall']
const PACKAGES_MAX = 8
const FILES_MAX = 1500

/** Every installed package: folder and manifest. */
function packagesIn (folder) {
  const found = readdirSync(join(folder, 'node_modules'), { recursive: true }).map(String).filter(name => /(^|\/)node_modules\/?(@[^/]+\/)?[^/@]+\/package\.json$|^(@[^/]+\/)?[^/@]+\/package\.json$/.test(name))
  return found.map(name => ({ at: dirname(join(folder, 'node_modules', name)), manifest: JSON.parse(readFileSync(join(folder, 'node_modules', name), 'utf8')) }))
}

/** Packages that run something at install: a script, or a binding.gyp, which npm builds unasked. */
export function scriptedIn (folder) {
  return packagesIn(folder).filter(({ at, manifest }) => INSTALL_SCRIPTS.some(name => manifest.scripts?.[name] !== undefined) || existsSync(join(at, 'binding.gyp'))).map(({ manifest }) => manifest.name)
}

export function checkTree (work, folder, cache) {
  const packages = packagesIn(folder)
  const files = readdirSync(join(folder, 'node_modules'), { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).length
  assert.deepEqual(scriptedIn(folder), [], 'no package runs anything at install')
  assert.equal(packages.filter(({ manifest }) => manifest.name === 'yjs').length, 1, 'one copy of yjs')
  assert.ok(packages.length <= PACKAGES_MAX && files <= FILES_MAX, `${packages.length} packages, ${files} files`)

  for (const [name, plant] of [['planted-script', { scripts: { postinstall: 'true' } }], ['planted-addon', {}]]) {
    const source = folderOf(work, name, { private: undefined, name, version: '1.0.0', ...plant })
    if (name === 'planted-addon') writeFileSync(join(source, 'binding.gyp'), '{}')
    run('npm', ['pack', '--silent', '--ignore-scripts'], { cwd: source })
    const user = folderOf(work, `${name}-user`)
    install(user, [join(source, `${name}-1.0.0.tgz`)], { cache, offline: true })
    assert.deepEqual(scriptedIn(user), [name], 'the gate sees a planted violation')
  }
  say(`${packages.length} packages, ${files} files installed; none runs anything at install (two planted ones are caught); one yjs`)
}
