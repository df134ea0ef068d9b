/** Reads what the checks look at. Nothing here decides, waits for ever, asks, or throws. */
import { constants } from 'node:fs'
import { access, readFile, stat, statfs } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { totalmem, userInfo } from 'node:os'
import { dirname, sep } from 'node:path'
import { checkRemote, nativeGitWorks } from '@elder-node/crdt-stack/git'
import { codeOf } from '@elder-node/protocol'
import { lackProblem, NO_SLOTS } from '../../adapters/builder-lacks.ts'
import { dataDirAt } from '../../adapters/data-dir.ts'
import type { DataDir } from '../../adapters/data-dir.ts'
import { openEngine } from '../../adapters/engines.ts'
import { NO_DEFAULT_IMAGE, type EngineChoice } from '../../ports/engine.ts'
import { keyFault } from '../../adapters/identity.ts'
import { lockHolder } from '../../adapters/lock.ts'
import { readConfig } from '../../adapters/node-config.ts'
import { portHolder } from '../../adapters/port-holder.ts'
import { runTool } from '../../adapters/run-tool.ts'
import { readSettingsFile } from '../../adapters/settings-file.ts'
import { SETTINGS } from '../../device-config/catalogue.ts'
import { resolveSetting, settingOf } from '../../device-config/resolve.ts'
import { failureJson } from '../cli/failure.ts'
import type { ControlClient } from '../control-client.ts'
import { hasMesh } from '../location.ts'
import type { Facts, Fault } from './facts.ts'
import { readSmallFiles } from './small-files.ts'

export interface ReadInit { dir: string, env: NodeJS.ProcessEnv, client: ControlClient, version: string, signal: AbortSignal }

const REMOTES_MAX = 32
const REMOTE_MS = 10_000
const SOCKET_MS = 1_000
const ENGINES: EngineChoice[] = ['docker', 'podman', 'sandbox']
const DOCKER_SOCKET = '/var/run/docker.sock'
const PORT = /\/tcp\/([1-9]\d*)/

export async function readFacts (init: ReadInit): Promise<Facts> {
  const { dir: root, env, client, version, signal } = init
  const dir = dataDirAt(root, env)
  const mesh = await Promise.all([client.call('status', {}, { signal }), client.call('diagnosis', {}, { signal })]).then(([status, diagnosis]) => ({ status, diagnosis }), () => null)
  const remotes = mesh === null ? null : await client.call('stack.remote.list', {}, { signal }).then(all => [...new Set(all.map(({ url }) => url))].slice(0, REMOTES_MAX), () => null)
  const settings = settingsOf(dir, env)
  const { uid, username } = userInfo()
  const works = mesh?.diagnosis.git ?? await nativeGitWorks().catch(() => true)
  return {
    platform: process.platform, uid: process.platform === 'win32' ? null : uid, user: username,
    program: { version, node: process.version, ...await readStart(mesh?.status.self.pid ?? process.pid) },
    dir: await readDir(dir), key: await readKey(dir.key), files: readSmallFiles(dir), lock: { path: dir.lock, there: await isThere(dir.lock), holder: lockHolder(dir.lock) ?? null },
    socket: await readSocket(dir), settings, ports: await readPorts(dir, mesh?.status.self.addresses ?? []),
    engines: await readEngines(root, settings, mesh?.status.self.engineNote), docker: await readDocker(username), kernel: await readKernel(), time: await readTime(),
    git: { works, node: mesh !== null }, remotes: remotes === null ? null : works ? await Promise.all(remotes.map(async url => ({ url, fault: await readRemote(url, signal) }))) : remotes.map(url => ({ url, fault: null })),
    mesh, hasMesh: hasMesh(root),
  }
}

function settingsOf ({ settings }: DataDir, env: NodeJS.ProcessEnv): Facts['settings'] {
  const value = (key: string, stored: ReturnType<typeof readSettingsFile>): unknown => resolveSetting(settingOf(key), env, stored).value
  try {
    const stored = readSettingsFile(settings)
    for (const setting of SETTINGS) resolveSetting(setting, env, stored)
    const image = value('image', stored)
    return { fault: null, ...(image === undefined ? {} : { image: String(image) }), recoverySaved: value('recovery.saved', stored) === true, engine: String(value('engine', stored)), mdns: value('mdns', stored) === true, slots: value('slots', stored) as number | undefined ?? null }
  } catch (error) {
    return { fault: faultOf(error), recoverySaved: false, engine: 'auto', mdns: true, slots: null }
  }
}

/** Of this process or another one of this user; on systems without /proc nothing is known of the other. */
async function readStart (pid: number): Promise<{ npx: boolean, service: boolean }> {
  const [words, group] = await Promise.all([text(`/proc/${pid}/cmdline`), text(`/proc/${pid}/cgroup`)])
  return { npx: /[/\\]_npx[/\\]/.test(words ?? (pid === process.pid ? process.argv[1] ?? '' : '')), service: /\/[^/\n]*elder-node[^/\n]*\.service/.test(group ?? '') }
}

async function readDir (dir: DataDir): Promise<Facts['dir']> {
  const found = await stat(dir.root).catch(() => null)
  const missing = await Promise.all([dir.mesh, dir.stacks, dir.mirrors, dir.builds].map(async path => await isThere(path) ? [] : [path]))
  const disk = await statfs(await nearestThere(dir.root)).then(({ bavail, blocks, bsize }) => ({ freeBytes: bavail * bsize, totalBytes: blocks * bsize }), () => null)
  const writable = await access(dir.root, constants.R_OK | constants.W_OK | constants.X_OK).then(() => true, () => false)
  return { path: dir.root, there: found?.isDirectory() === true, mode: (found?.mode ?? 0) & 0o777, uid: found?.uid ?? 0, writable, disk, missing: missing.flat() }
}

/** Where a folder that is not there yet would be made. */
async function nearestThere (path: string): Promise<string> {
  return dirname(path) === path || await isThere(path) ? path : await nearestThere(dirname(path))
}

async function readKey (path: string): Promise<Facts['key']> {
  return await stat(path).then(({ mode }) => ({ path, mode: mode & 0o777, fault: keyFault(path) }), () => null)
}

async function readSocket ({ socket, root }: DataDir): Promise<Facts['socket']> {
  const isElsewhere = process.platform !== 'win32' && !socket.startsWith(root + sep)
  const folder = isElsewhere ? await stat(dirname(socket)).then(({ mode, uid }) => ({ path: dirname(socket), mode: mode & 0o777, uid }), () => null) : null
  return { path: socket, there: await isThere(socket), answers: await socketError(socket) === null, folder }
}

/** The ports that were kept, those the node says, and the one that a first start would take is nobody's yet. */
async function readPorts (dir: DataDir, addresses: string[]): Promise<Facts['ports']> {
  const said = addresses.map(address => Number(PORT.exec(address)?.[1])).filter(port => port > 0)
  const kept = said.length > 0 ? said : Object.entries(readConfig(dir.config).ports).filter(([address]) => address.startsWith('/')).map(([, port]) => port)
  return await Promise.all([...new Set(kept)].map(async port => ({ port, taken: await isTaken(port), holder: await portHolder(port) })))
}

function isTaken (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => { resolve(error.code === 'EADDRINUSE') })
    server.listen({ port, exclusive: true }, () => { server.close(() => { resolve(false) }) })
  })
}

/** The running node has opened its engine; without one each is opened and given back. `process` only where its owner chose it. */
async function readEngines (dataDir: string, { engine: chosen, image }: Facts['settings'], note: string | undefined): Promise<Facts['engines']> {
  if (note !== undefined) return [{ name: note.split(/[ :]/, 1)[0] ?? '', note, bare: note.includes(NO_DEFAULT_IMAGE), fault: faultIn(note) }]
  if (chosen === 'none') return []
  const names: EngineChoice[] = chosen === 'auto' ? ENGINES : [chosen as EngineChoice]
  return await Promise.all(names.map(async name => {
    try {
      const { note: describe, close } = await openEngine(name, { dataDir, ...(image === undefined ? {} : { image }) })
      const note = describe()
      await close()
      return { name, note, bare: note.includes(NO_DEFAULT_IMAGE), fault: null }
    } catch (error) {
      return { name, note: '', fault: faultOf(error) }
    }
  }))
}

/** What the node says of its engine, when it is nothing good. */
function faultIn (note: string): Fault | null {
  if (note.startsWith('no engine')) return { code: 'NO_ENGINE', message: note, fix: '' }
  const lacks = note.split(NO_SLOTS)[1]
  return lacks === undefined ? null : lackProblem(lacks)
}

async function readDocker (user: string): Promise<Facts['docker']> {
  if (!await isThere(DOCKER_SOCKET)) return null
  const members = /^docker:[^:]*:\d*:(.*)$/m.exec(await text('/etc/group') ?? '')?.[1]?.split(',') ?? []
  return { path: DOCKER_SOCKET, error: await socketError(DOCKER_SOCKET), inGroup: members.includes(user) }
}

async function readKernel (): Promise<Facts['kernel']> {
  const model = (await text('/proc/device-tree/model'))?.replaceAll('\0', '').trim() ?? null
  const paths = model?.startsWith('Raspberry Pi') === true ? ['/boot/firmware/cmdline.txt', '/boot/cmdline.txt'] : []
  const lines = await Promise.all(paths.map(async path => ({ path, text: await text(path) })))
  const cmdline = lines.find((line): line is { path: string, text: string } => line.text !== null) ?? null
  const [cgroups, controllers, swaps, mounts] = await Promise.all(['/proc/cgroups', '/sys/fs/cgroup/cgroup.controllers', '/proc/swaps', '/proc/mounts'].map(text)) as [string | null, string | null, string | null, string | null]
  return { model, cgroups, controllers, cmdline, swaps, mounts, memoryBytes: totalmem() }
}

async function readTime (): Promise<Facts['time']> {
  if (process.platform !== 'linux') return { synchronized: null, why: 'only Linux tells whether a time server sets the clock' }
  if (await isThere('/run/systemd/timesync/synchronized')) return { synchronized: true, why: '' }
  const said = await runTool('timedatectl', ['show', '--property=NTPSynchronized', '--value']).then(out => out.trim(), () => '')
  return said === 'yes' || said === 'no' ? { synchronized: said === 'yes', why: '' } : { synchronized: null, why: 'timedatectl does not say whether a time server sets this clock' }
}

async function readRemote (url: string, signal: AbortSignal): Promise<Fault | null> {
  return await checkRemote(url, { signal, deadlineMs: REMOTE_MS }).then(() => null, faultOf)
}

/** Null when somebody answers there, else the code of the error. */
function socketError (path: string): Promise<string | null> {
  return new Promise(resolve => {
    const socket = connect(path)
    const end = (code: string | null): void => { socket.destroy(); resolve(code) }
    socket.setTimeout(SOCKET_MS, () => { end('ETIMEDOUT') }).once('connect', () => { end(null) }).once('error', error => { end(codeOf(error)) })
  })
}

async function isThere (path: string): Promise<boolean> { return await access(path).then(() => true, () => false) }
async function text (path: string): Promise<string | null> { return await readFile(path, 'utf8').catch(() => null) }

function faultOf (error: unknown): Fault {
  const { code, message, fix } = failureJson(error)
  return { code, message, fix }
}
