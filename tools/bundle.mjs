/**
 * Makes what is published, from the sources: per package `lib/` (bundled JavaScript), `types/` (the declarations that its
 * entry points reach), the licences, and `published.json`, the manifest that `npm pack` and `npm publish` ship (manifest.mjs
 * puts it in place). Run by `npm run build`, after `tsc -b`.
 *
 * Left outside of a bundle: the packages of this repository (their classes must be the same for whoever imports two of them)
 * and yjs (two copies of it in one process corrupt documents). Everything else is inlined and becomes a dev dependency.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const EXTERNAL = [/^@elder-node\//, /^elder-node$/, /^yjs$/, /^node:/]
/** Entry points that no `exports` names: file in lib -> source. */
const OWN_ENTRIES = { node: { cli: 'gateway/cli/start' } }

/** V8 keeps a source in one byte a character unless one of them needs two: escaped, a started node is 3 MB smaller. */
const narrow = {
  name: 'narrow',
  generateBundle (_options, bundle) {
    for (const chunk of Object.values(bundle)) if (chunk.type === 'chunk') chunk.code = chunk.code.replaceAll(/[^\0-\xff]/g, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  },
}

/** 32,768 numbers of the DHT as one text: 0.5 MB of JavaScript is 0.13, and no array literal is compiled at each start. */
const packed = {
  name: 'packed',
  async load (id) {
    if (!id.endsWith('/kad-dht/dist/src/routing-table/generated-prefix-list.js')) return null
    const { default: numbers } = await import(pathToFileURL(id).href)
    const bytes = Buffer.alloc(numbers.length * 3)
    for (const [i, number] of numbers.entries()) bytes.writeUIntBE(number, i * 3, 3)
    return `const bytes = Buffer.from('${bytes.toString('base64')}', 'base64')\nexport default Uint32Array.from({ length: ${numbers.length} }, (_, i) => bytes.readUIntBE(i * 3, 3))\n`
  },
}

const readJson = path => JSON.parse(readFileSync(path, 'utf8'))

/** An entry point that only the sources have is for this repository's own tests: it is not published. */
const published = exports => Object.fromEntries(Object.entries(exports).filter(([, target]) => target.default !== undefined))

/** `./dist/fs/index.js` of the manifest -> `fs/index`. */
const stemOf = target => target.default.replace(/^\.\/dist\//, '').replace(/\.js$/, '')

async function bundlePackage (folder) {
  const at = join(root, 'packages', folder)
  const manifest = readJson(join(at, 'package.json'))
  const exported = Object.values(published(manifest.exports)).map(stemOf)
  const entries = { ...Object.fromEntries(exported.map(stem => [stem, stem])), ...OWN_ENTRIES[folder] }
  const lib = join(at, 'lib')
  const fresh = `${lib}.${process.pid}`
  const build = await rolldown({
    cwd: at, platform: 'node', external: EXTERNAL, logLevel: 'warn', plugins: [packed],
    input: Object.fromEntries(Object.entries(entries).map(([name, stem]) => [name, join('src', `${stem}.ts`)])),
    onLog: (level, log, next) => next(level === 'warn' ? 'error' : level, log),
  })
  // Names and lines stay: stack traces are read by people, and errors are matched by the names of their classes.
  const { output } = await build.write({
    dir: fresh, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js', sourcemap: false, comments: false, plugins: [narrow],
    minify: { mangle: false, compress: true, codegen: { removeWhitespace: false } },
  })
  await build.close()
  const inlined = packagesOf(output.flatMap(chunk => Object.keys(chunk.modules ?? {})))
  const imported = new Set(output.flatMap(chunk => [...chunk.imports ?? [], ...chunk.dynamicImports ?? []]).filter(name => EXTERNAL.some(rule => rule.test(name))))
  replaceFolder(fresh, lib)
  copyTypes(at, exported)
  writeFileSync(join(at, 'THIRD_PARTY_LICENSES'), licencesOf(inlined))
  for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(join(root, name), join(at, name))
  writeFileSync(join(at, 'published.json'), JSON.stringify(publishedManifest(manifest, { inlined, imported }), null, 2) + '\n')
  return { name: manifest.name, chunks: output.length, bytes: output.reduce((sum, chunk) => sum + chunk.code.length, 0), inlined: inlined.size }
}

/** The packages that modules come from: name -> folder. */
function packagesOf (modules) {
  const found = new Map()
  for (const id of modules) {
    const match = /^(.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+))[\\/]/.exec(id.replace(/^\0/, ''))
    if (match !== null) found.set(match[2].replace('\\', '/') + ' ' + readJson(join(match[1], 'package.json')).version, match[1])
  }
  return new Map([...found].sort(([a], [b]) => a < b ? -1 : 1))
}

/** The declarations that the entry points reach, and no others: what is not exported is nobody's business. */
function copyTypes (at, stems) {
  const fresh = join(at, `types.${process.pid}`)
  const waiting = stems.map(stem => join(at, 'dist', `${stem}.d.ts`))
  const seen = new Set(waiting)
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const text = readFileSync(file, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '')
    const to = join(fresh, relative(join(at, 'dist'), file))
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, text)
    for (const [, specifier] of text.matchAll(/(?:\bfrom |\bimport ?\(?)['"]([^'"]+)['"]/g)) {
      if (!specifier.startsWith('.')) {
        if (EXTERNAL.some(rule => rule.test(specifier))) continue
        throw new Error(`${relative(root, file)} is published and names ${specifier}, which is inlined: its users could not resolve the type. Fix: keep that type out of what the entry points reach`)
      }
      const next = resolve(dirname(file), specifier.replace(/\.[jt]s$/, '.d.ts'))
      if (existsSync(next) && !seen.has(next)) { seen.add(next); waiting.push(next) }
    }
  }
  replaceFolder(fresh, join(at, 'types'))
}

function publishedManifest (manifest, { inlined, imported }) {
  const { scripts: _scripts, devDependencies: _dev, exports, imports, dependencies, ...kept } = manifest
  const inlinedNames = new Set([...inlined.keys()].map(key => key.split(' ')[0]))
  const outside = Object.entries(dependencies ?? {}).filter(([name]) => !inlinedNames.has(name) && EXTERNAL.some(rule => rule.test(name)))
  const named = new Set(outside.map(([name]) => name))
  for (const specifier of imported) {
    const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
    if (!specifier.startsWith('node:') && !named.has(name)) throw new Error(`${manifest.name}: the bundle imports ${specifier}, which its package.json does not name`)
  }
  return {
    ...kept,
    exports: Object.fromEntries(Object.entries(published(exports)).map(([name, target]) => [name, { types: `./types/${stemOf(target)}.d.ts`, default: `./lib/${stemOf(target)}.js` }])),
    ...(imports === undefined ? {} : { imports: { '#cli': './lib/cli.js' } }),
    files: [...['bin', 'images'].filter(name => manifest.files.includes(name)), 'lib', 'types', 'LICENSE-*', 'THIRD_PARTY_LICENSES'],
    ...(outside.length === 0 ? {} : { dependencies: Object.fromEntries(outside) }),
  }
}

/** The licence texts of what is inlined. */
function licencesOf (inlined) {
  const parts = ['What is bundled into lib/, with the licence of each. Generated by tools/bundle.mjs.\n']
  for (const [key, folder] of inlined) {
    const { license } = readJson(join(folder, 'package.json'))
    if (typeof license !== 'string') throw new Error(`${key} states no licence`)
    parts.push(`${'-'.repeat(78)}\n${key} (${license})\n\n${textOf(key, license, folder)}\n`)
  }
  return parts.join('\n')
}

function textOf (key, license, folder) {
  const texts = readdirSync(folder).filter(name => /^(licen[cs]e|copying|notice)/i.test(name)).sort().map(name => readFileSync(join(folder, name), 'utf8').trim())
  if (texts.length > 0) return texts.join('\n\n')
  const file = /\bApache-2\.0\b/.test(license) ? 'LICENSE-APACHE' : license === 'MIT' ? 'LICENSE-MIT' : undefined
  if (file === undefined) throw new Error(`${key} (${license}) brings no licence text`)
  const { author, homepage } = readJson(join(folder, 'package.json'))
  const by = (typeof author === 'string' ? author : author?.name) ?? homepage ?? 'its contributors'
  return `Copyright ${by}. The package brings no text of its own; the terms are those of ${file} beside this file.`
}

function replaceFolder (fresh, old) {
  rmSync(old, { recursive: true, force: true })
  renameSync(fresh, old)
}

for (const folder of ['protocol', 'crdt-stack', 'node']) {
  const { name, chunks, bytes, inlined } = await bundlePackage(folder)
  console.error(`bundle: ${name}: ${chunks} files, ${Math.round(bytes / 1000)} kB, ${inlined} packages inlined`)
}
