/**
 * A copy of this program that nobody else changes: the package, the packages it needs, and its Node where that one may vanish.
 * It is the same from a clone, from `node_modules` and from npx's cache, which npm may empty at any time.
 */
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

interface Manifest { name: string, version: string, files?: string[], dependencies?: Record<string, string> }
interface Found { at: string, manifest: Manifest }

/** How many earlier versions stay, to go back to. */
const EARLIER_KEPT = 1

/**
 * Copies what is at `from` to `<versions>/<version>/node_modules`, whole or not at all; replaces an equal version.
 *
 * @param node.path - copied as well, when given, and answered
 * @throws ElderError `NOT_BUILT` for a clone without bundle, or the system's error
 */
export async function copyProgram (from: string, versions: string, { node }: { node?: string } = {}): Promise<{ version: string, node?: string }> {
  const packages = await closure(from)
  const version = (packages[0] as Found).manifest.version
  const fresh = join(versions, `.${version}.${process.pid}`)
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true, mode: 0o755 })
  try {
    for (const found of packages) await copyPackage(found, join(fresh, 'node_modules', found.manifest.name))
    if (node !== undefined) {
      await cp(await realpath(node), join(fresh, 'node'))
      await chmod(join(fresh, 'node'), 0o755)
    }
    await swap(fresh, join(versions, version))
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
  return { version, ...(node === undefined ? {} : { node: join(versions, version, 'node') }) }
}

/** Removes all versions but `current` and the one that ran before it. Answers what is gone. */
export async function pruneVersions (versions: string, { current, before }: { current: string, before: string | undefined }): Promise<string[]> {
  const others = (await readdir(versions)).filter(name => name !== current).sort(byVersion)
  // Hidden ones are halves that a killed install left.
  const whole = others.filter(name => !name.startsWith('.'))
  const kept = before !== undefined && whole.includes(before) ? [before] : whole.slice(-EARLIER_KEPT)
  const gone = others.filter(name => !kept.includes(name))
  for (const name of gone) await rm(join(versions, name), { recursive: true, force: true })
  return gone
}

/** A package and all that it needs, itself first, each name once. */
async function closure (from: string): Promise<Found[]> {
  const found = new Map<string, Found>()
  const waiting = [from]
  for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
    const manifest = await readManifest(at)
    const known = found.get(manifest.name)
    if (known !== undefined && known.manifest.version !== manifest.version) throw new ElderError('SERVICE_COPY', `Two versions of ${manifest.name} are installed here: ${known.manifest.version} and ${manifest.version}.`, 'Install it once and alone: npm install --global elder-node')
    if (known !== undefined) continue
    found.set(manifest.name, { at, manifest })
    for (const name of Object.keys(manifest.dependencies ?? {})) waiting.push(await locatePackage(name, at))
  }
  return [...found.values()]
}

/** In a clone the manifest that would be published: what tools/bundle.mjs wrote, for the bundle beside it. */
async function readManifest (at: string): Promise<Manifest> {
  const manifest = JSON.parse(await readFile(join(at, 'package.json'), 'utf8')) as Manifest
  if (!isOurs(manifest.name) || !existsSync(join(at, 'src'))) return manifest
  const published = join(at, 'published.json')
  if (!existsSync(published)) throw new ElderError('NOT_BUILT', `${at} is a clone that is not bundled.`, 'npm run build   (in the clone), then repeat')
  return JSON.parse(await readFile(published, 'utf8')) as Manifest
}

/** As Node finds it: in the nearest node_modules above. */
async function locatePackage (name: string, from: string): Promise<string> {
  for (let at = from; ; at = dirname(at)) {
    const folder = join(at, 'node_modules', name)
    if (existsSync(join(folder, 'package.json'))) return await realpath(folder)
    if (dirname(at) === at) throw new ElderError('SERVICE_COPY', `${name} is not installed beside elder-node.`, 'Install it again: npm install --global elder-node', { from })
  }
}

/** Ours: what `files` names. Others': everything but what was installed into them. */
async function copyPackage ({ at, manifest }: Found, to: string): Promise<void> {
  const ours = isOurs(manifest.name)
  const entries = (await readdir(at)).filter(name => ours ? (manifest.files ?? []).some(pattern => pattern === name || (pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1)))) : name !== 'node_modules')
  await mkdir(to, { recursive: true, mode: 0o755 })
  for (const name of entries) await cp(join(at, name), join(to, name), { recursive: true })
  await writeFile(join(to, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

function isOurs (name: string): boolean { return name === 'elder-node' || name.startsWith('@elder-node/') }

async function swap (fresh: string, to: string): Promise<void> {
  const old = `${fresh}.old`
  if (existsSync(to)) await rename(to, old)
  await rename(fresh, to)
  await rm(old, { recursive: true, force: true })
}

function byVersion (a: string, b: string): number { return a.localeCompare(b, 'en', { numeric: true }) }
