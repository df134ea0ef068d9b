/**
 * The environment of a build, made anew for each: a sane PATH, what the requester named, and the certificates, proxies and
 * registries of the builder's owner. Never the node's own environment, never credentials.
 */
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, realpath, rm, stat } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { hasMore, readNpmSettings, withoutUser, type NpmSettings } from './npm-settings.ts'
import { replaceFile } from './replace-file.ts'

/** Variables that hold the path of a certificate file or folder. */
const CERTIFICATES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT', 'CARGO_HTTP_CAINFO']
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']
/** Debian's folder of certificates holds some 300, each under two names. */
const FOLDER_FILES_MAX = 2000
const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface BuildEnvironmentInit {
  /** Where files for builds are put when they cannot read the originals: below the engine's root. */
  dir: string
  /** True when builds run as users of their own (`separateUsers` of the engine). */
  separateUsers: boolean
  /** True when builds see the files of an image: PATH is the image's, and of the owner's files they get copies alone. */
  images?: boolean
  /** For builds that see only a part of this machine: whether the path is in it. */
  sees?: (path: string) => boolean
  /** The owner's environment. @default process.env */
  env?: NodeJS.ProcessEnv
  /** More of the owner's variables to pass as they are. */
  pass?: string[]
  /** Folders whose programs are no build's business. @default the checkout this file lies in, if it lies in one */
  exclude?: string[]
}

export class BuildEnvironment {
  readonly #init: BuildEnvironmentInit
  readonly #env: NodeJS.ProcessEnv
  #owner: Promise<Record<string, string>> | undefined

  constructor (init: BuildEnvironmentInit) {
    this.#init = init
    this.#env = init.env ?? process.env
  }

  /** The whole environment besides HOME and TMPDIR. What the requester named wins. */
  async build (requested: Record<string, string>): Promise<Record<string, string>> {
    this.#owner ??= this.#readOwner().catch((error: unknown) => {
      this.#owner = undefined
      throw error
    })
    // An image has no other language for sure.
    const { LANG = 'C.UTF-8' } = this.#init.images === true ? {} : this.#env
    return { LANG, TERM: 'dumb', ...await this.#owner, ...requested }
  }

  /** Removes the files that were made for builds. After the last one. */
  async close (): Promise<void> {
    this.#owner = undefined
    await rm(this.#init.dir, { recursive: true, force: true })
  }

  /** Read once, at the first build: asking npm costs half a second. */
  async #readOwner (): Promise<Record<string, string>> {
    const env: Record<string, string> = this.#init.images === true ? {} : { PATH: await this.#path() }
    for (const name of [...PROXIES, ...this.#init.pass ?? []]) {
      const value = this.#env[name]
      if (value !== undefined) env[name] = withoutUser(value)
    }
    for (const name of CERTIFICATES) {
      const path = await this.#readable(this.#env[name])
      if (path !== undefined) env[name] = path
    }
    return { ...env, ...await this.#npm(await readNpmSettings(this.#env)) }
  }

  /** The owner's PATH without the tools of any package, without this checkout, and without folders that a build's user cannot enter. */
  async #path (): Promise<string> {
    const own = this.#init.exclude ?? checkoutAround(import.meta.dirname)
    const dirs = (this.#env['PATH'] ?? '').split(':').filter(dir => isAbsolute(dir) && !/(^|\/)node_modules(\/|$)/.test(dir) && !own.some(root => dir === root || dir.startsWith(`${root}/`)))
    const usable: string[] = []
    for (const dir of new Set(dirs)) if (await this.#canRead(dir)) usable.push(dir)
    return usable.length > 0 ? usable.join(':') : PATH_DEFAULT
  }

  async #npm ({ registry, cafile, globalconfig, lines }: NpmSettings): Promise<Record<string, string>> {
    const env: Record<string, string> = {}
    if (registry !== undefined) env['npm_config_registry'] = registry
    const ca = await this.#readable(cafile)
    if (ca !== undefined) env['npm_config_cafile'] = ca
    const config = await this.#npmrc(globalconfig, lines)
    if (config !== undefined) env['npm_config_globalconfig'] = config
    return env
  }

  /** The global npmrc itself when it says nothing else than what may travel; else a file of ours with those lines and the user's. */
  async #npmrc (globalconfig: string | undefined, lines: string[]): Promise<string | undefined> {
    const text = globalconfig === undefined ? undefined : await readFile(globalconfig, 'utf8').catch(() => undefined)
    const scoped = lines.some(line => line.startsWith('@'))
    if (globalconfig !== undefined && text !== undefined && !scoped && !hasMore(text) && await this.#canRead(globalconfig)) return globalconfig
    if (lines.length === 0) return undefined
    // The certificate file is passed by its own variable: the path in the line may be one that the build cannot read.
    return this.#put('npmrc', Buffer.from(`${lines.filter(line => !line.startsWith('cafile=')).join('\n')}\n`))
  }

  async #canRead (path: string): Promise<boolean> { return this.#init.images !== true && this.#init.sees?.(path) !== false && (!this.#init.separateUsers || await readableByAll(path)) }

  /** The path when a build can read it, a copy of a file that it cannot, undefined for what is missing. */
  async #readable (path: string | undefined): Promise<string | undefined> {
    if (path === undefined || path === '') return undefined
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) return undefined
    const absolute = resolve(path)
    if (await this.#canRead(absolute)) return absolute
    const name = `${createHash('sha256').update(absolute).digest('hex').slice(0, 12)}-${basename(absolute)}`
    if (found.isDirectory()) return this.#init.images === true || this.#init.sees !== undefined ? this.#putFolder(name, absolute) : undefined
    return found.isFile() ? this.#put(name, await readFile(absolute)) : undefined
  }

  /** A folder of certificates, links resolved; undefined when it is none of a usual size. */
  async #putFolder (name: string, from: string): Promise<string | undefined> {
    if ((await readdir(from)).length > FOLDER_FILES_MAX) return undefined
    const path = join(this.#init.dir, name)
    await mkdir(path, { recursive: true, mode: 0o755 })
    for (const entry of await readdir(from)) {
      if ((await stat(join(from, entry)).catch(() => undefined))?.isFile() === true) await cp(join(from, entry), join(path, entry), { dereference: true }).catch(() => undefined)
    }
    return path
  }

  async #put (name: string, content: Buffer): Promise<string> {
    await mkdir(this.#init.dir, { recursive: true, mode: 0o711 })
    const path = join(this.#init.dir, name)
    await replaceFile(path, content)
    return path
  }
}

/** An installed package lies in `node_modules`, which PATH loses anyway; what is above it (nvm is a checkout too) is the owner's. */
function checkoutAround (start: string): string[] {
  if (start.includes('/node_modules/')) return []
  for (let dir = start; dir !== dirname(dir); dir = dirname(dir)) if (existsSync(join(dir, '.git'))) return [dir]
  return []
}

/** Whether any user of this machine can reach and read the path, by its mode bits and those of every folder above. */
export async function readableByAll (path: string): Promise<boolean> {
  try {
    for (const start of new Set([resolve(path), await realpath(path)])) {
      for (let dir = dirname(start); ; dir = dirname(dir)) {
        if (((await stat(dir)).mode & 0o001) === 0) return false
        if (dir === dirname(dir)) break
      }
    }
    const found = await stat(path)
    return (found.mode & (found.isDirectory() ? 0o005 : 0o004)) === (found.isDirectory() ? 0o005 : 0o004)
  } catch {
    return false
  }
}
