/** What is in the three tarballs: exactly what is meant to be, and a manifest that promises nothing else. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { folderOf, root, run, say } from './support.mjs'

const ALLOWED = /^(package\.json|README\.md|LICENSE-(APACHE|MIT)|THIRD_PARTY_LICENSES|bin\/elder-node\.js|images\/[\w-]+\/Dockerfile|lib\/[\w/-]+\.js|types\/[\w/-]+\.d\.ts)$/
const NEEDED = ['package.json', 'README.md', 'LICENSE-APACHE', 'LICENSE-MIT', 'THIRD_PARTY_LICENSES', 'lib/index.js', 'types/index.d.ts']
/** What each may ask npm for. A new name here is a decision: it is one more download on every device. */
const DEPENDENCIES = { '@elder-node/protocol': [], '@elder-node/crdt-stack': ['@elder-node/protocol', 'yjs'], 'elder-node': ['@elder-node/crdt-stack', '@elder-node/protocol'] }
const FILES_MAX = 100

export function checkContents (work, tarballs) {
  const found = tarballs.map((tarball, i) => {
    const files = run('tar', ['-tzf', tarball]).trim().split('\n').map(name => name.replace(/^package\//, ''))
    const folder = folderOf(work, `content-${i}`)
    run('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1'])
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    assert.deepEqual(files.filter(name => !ALLOWED.test(name)), [], `${manifest.name}: nothing but what is meant to be`)
    assert.deepEqual(NEEDED.filter(name => !files.includes(name)), [], `${manifest.name}: nothing is missing`)
    assert.ok(files.length <= FILES_MAX, `${manifest.name}: ${files.length} files`)
    assert.deepEqual(Object.keys(manifest.dependencies ?? {}), DEPENDENCIES[manifest.name])
    for (const field of ['description', 'keywords', 'license', 'engines', 'exports', 'files']) assert.ok(manifest[field], `${manifest.name} states its ${field}`)
    for (const field of ['scripts', 'devDependencies']) assert.equal(manifest[field], undefined, `${manifest.name} ships no ${field}`)
    assert.deepEqual(Object.keys(manifest.exports).filter(name => name.includes('mutants')), [], 'rules cannot be switched off')
    assert.deepEqual(files.filter(name => /(mutants|rules)\.(d\.ts|js)$/.test(name)), [], 'nothing that names the switches')
    assert.equal(JSON.stringify(manifest.exports).includes('elder-source'), false, 'no condition that only the repository can satisfy')
    assert.equal(files.some(name => name.endsWith('.js') && readFileSync(join(folder, name), 'utf8').includes(root)), false, 'no path of the machine that built it')
    return files.length
  })
  say(`tarballs hold ${found.join(' + ')} files, each with README and licences, no script, no development dependency`)
}
