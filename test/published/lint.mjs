/** publint and "are the types wrong" on the tarballs, and a planted fault that each must find. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { folderOf, install, run, say } from './support.mjs'

const TOOLS = ['publint@0.3.25', '@arethetypeswrong/core@0.18.5']
/** This is ESM for Node 22 and newer: what CommonJS of old Nodes makes of it is not asked (profile esm-only). */
const IGNORED = new Set(['node10', 'node16-cjs'])

export async function lintTarballs (work, tarballs, cache) {
  const folder = folderOf(work, 'lint')
  try {
    install(folder, TOOLS, { cache })
  } catch (error) {
    return say(`skipped: publint and attw cannot be fetched (${String(error.message).split('\n')[0]})`)
  }
  const load = async name => await import(pathToFileURL(join(folder, 'node_modules', name)).href)
  const { publint } = await load('publint/src/index-node.js')
  const attw = await load('@arethetypeswrong/core/dist/index.js')
  const judge = async tarball => {
    const data = readFileSync(tarball)
    const { messages } = await publint({ pack: { tarball: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) }, strict: true })
    const { types, problems = [] } = await attw.checkPackage(attw.createPackageFromTarballData(new Uint8Array(data)))
    return { publint: messages.map(({ code, path }) => `${code} ${path.join('.')}`), attw: types === false ? ['no types'] : problems.filter(({ resolutionKind }) => !IGNORED.has(resolutionKind)).map(({ kind, entrypoint }) => `${kind} ${entrypoint ?? ''}`) }
  }
  for (const tarball of tarballs) assert.deepEqual(await judge(tarball), { publint: [], attw: [] }, basename(tarball))

  const planted = folderOf(work, 'planted-lint', { private: undefined, name: 'planted', version: '1.0.0', exports: { '.': { types: './index.d.ts', default: './index.js' }, './gone': './gone.js' } })
  writeFileSync(join(planted, 'index.d.ts'), "export * from './elsewhere'\n")
  writeFileSync(join(planted, 'index.js'), 'export const one = 1\n')
  run('npm', ['pack', '--silent'], { cwd: planted })
  const wrong = await judge(join(planted, 'planted-1.0.0.tgz'))
  assert.ok(wrong.publint.length > 0 && wrong.attw.length > 0, `a planted fault is found: ${JSON.stringify(wrong)}`)
  say('publint and attw find nothing in the three tarballs, and both find the planted fault')
}
