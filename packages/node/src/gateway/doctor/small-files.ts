/**
 * The small files of the data directory, each read as a start reads it. Nothing is written, moved or made anew: what a
 * start would do with a damaged file is said instead.
 */
import { readdirSync } from 'node:fs'
import { codeOf, type DeviceId } from '@elder-node/protocol'
import { nodeCrypto } from '../../adapters/crypto.ts'
import { traceOfMesh, type DataDir } from '../../adapters/data-dir.ts'
import { keyHolder } from '../../adapters/identity.ts'
import { readConfig } from '../../adapters/node-config.ts'
import { privateFiles } from '../../adapters/private-files.ts'
import type { PrivateFiles } from '../../ports/files.ts'
import { meshMissing, readMesh, readOwner, type StoredMesh } from '../../services/membership/mesh-file.ts'
import { RecordBook, ROSTER_LOG } from '../../services/membership/record-book.ts'
import { rosterDamaged, rosterProblem } from '../../services/membership/roster-damage.ts'
import { DeviceRemotes } from '../../services/remotes/device-remotes.ts'
import { HEARD_FILE } from '../../services/stacks/heard-removals.ts'
import { ARCHIVE_FILE, NAME_FILE, Shelf } from '../../services/stacks/shelf.ts'
import { failureJson } from '../cli/failure.ts'
import type { Facts, Fault } from './facts.ts'

type SmallFile = Facts['files'][number]

const ARCHIVE_FIX = 'Restore it from a backup; or move its folder away, then: elder-node stack restore <url>'
const HEARD_FIX = 'Restore it from a backup. Until then a removal of the stack hides only what it names itself.'

export function readSmallFiles (dir: DataDir): SmallFile[] {
  const self = keyHolder(dir.key)
  const mesh = readMeshFile(dir, self)
  return [
    ...mesh.found, ...readRoster(dir, self, mesh.stored), ...readConfigFile(dir),
    ...cache(dir.mesh, 'addresses.cbor', 'Nothing: it is made anew. The first dials may take longer.'),
    ...cache(dir.mesh, 'remotes-seen.json', 'Nothing: it is made anew. New remotes may not be told.'),
    ...cache(dir.mirrors, 'mirrors.json', 'Nothing: it is made anew from the remotes.'),
    ...cache(dir.stacks, 'removed.json', 'Nothing: it is made anew. Removed stacks stay 30 days longer.'),
    ...readRemotes(dir), ...readBuilds(dir), ...readStacks(dir),
  ]
}

interface MeshFile { stored: StoredMesh | undefined, found: SmallFile[] }

function readMeshFile ({ mesh, ...dir }: DataDir, self: DeviceId | undefined): MeshFile {
  const files = privateFiles(mesh)
  const path = files.path('mesh.cbor')
  try {
    // Without a key nobody can say whose it is; that is the finding of the key.
    const stored = self === undefined ? readOwner(files) : readMesh(files, self)
    const trace = traceOfMesh({ mesh, ...dir })
    if (stored === undefined && trace !== undefined) throw meshMissing(files, trace)
    return { stored, found: stored === undefined ? [] : [{ path, fault: null, heals: false }] }
  } catch (error) {
    return { stored: undefined, found: [{ path, fault: faultOf(error), heals: false }] }
  }
}

/** Without `mesh.cbor` nobody can say which records belong to this mesh, and a start ends there. */
function readRoster ({ mesh }: DataDir, self: DeviceId | undefined, stored: StoredMesh | undefined): SmallFile[] {
  if (stored === undefined) return []
  const files = privateFiles(mesh)
  return reading(files.path(ROSTER_LOG), path => {
    const book = new RecordBook({ crypto: nodeCrypto(), files }, stored.mesh)
    book.load(stored.proof)
    if (book.damage === null) return { path, fault: null, heals: true }
    if (self !== undefined && !book.roster.members.has(self)) {
      return { path, fault: faultOf(rosterDamaged(files, book.damage)), heals: false }
    }
    if (book.isIncomplete) return { path, fault: rosterProblem(files, book.damage), heals: true }
    const fix = 'Start this node and another device: the file is kept aside, and what is missing comes back.'
    return { path, fault: { code: 'ROSTER_DAMAGED', message: `${path} is ${book.damage}`, fix }, heals: true }
  })
}

function readConfigFile ({ config }: DataDir): SmallFile[] {
  let why: string | undefined
  readConfig(config, error => { why = error })
  if (why === undefined) return []
  const fix = 'Nothing: the next start makes it anew, and may choose another port.'
  const fault = { code: 'FILE_DAMAGED', message: `${config} does not read: ${why}`, fix }
  return [{ path: config, fault, heals: true }]
}

/** A file that a node makes anew when it does not read. */
function cache (folder: string, name: string, fix: string): SmallFile[] {
  const files = privateFiles(folder)
  return reading(files.path(name), () => readable(files, name, fix, true))
}

/** As {@link SmallFile}; undefined when there is none. */
function readable (files: PrivateFiles, name: string, fix: string, heals: boolean): SmallFile | undefined {
  const path = files.path(name)
  try {
    return files.read(name) === undefined ? undefined : { path, fault: null, heals }
  } catch (error) {
    if (codeOf(error) === 'STORAGE') throw error
    return { path, fault: { ...faultOf(error), fix }, heals }
  }
}

function readRemotes ({ mesh }: DataDir): SmallFile[] {
  const files = privateFiles(mesh)
  return reading(files.path('remotes.json'), path => {
    const [problem] = new DeviceRemotes(files).problems()
    if (problem !== undefined) return { path, fault: problem, heals: false }
    return files.list().includes('remotes.json') ? { path, fault: null, heals: false } : undefined
  })
}

function readBuilds ({ builds }: DataDir): SmallFile[] {
  const files = privateFiles(builds)
  return reading(files.path('builds.log'), path => {
    const log = files.readLog('builds.log')
    if (log?.isDamaged !== true) return log === undefined ? undefined : { path, fault: null, heals: true }
    const fix = 'Nothing: the next build writes anew what reads; the history has a gap.'
    return { path, fault: { code: 'FILE_DAMAGED', message: `${path} does not read everywhere`, fix }, heals: true }
  })
}

/** Of each stack: its name, where it came from, and when this device heard of its removal. */
function readStacks ({ stacks }: DataDir): SmallFile[] {
  const files = privateFiles(stacks)
  const fix = 'Say its name: elder-node stack show <name>; or start another device that holds it.'
  const names = reading(stacks, () => {
    const shelf = new Shelf({ files, crypto: nodeCrypto() })
    const faultOfName = (message: string): Fault => ({ code: 'STACK_NAMELESS', message, fix })
    const nameless = [...shelf.nameless().values()].map(({ path, message }) => ({ path, fault: faultOfName(message) }))
    const named = [...shelf.names().keys()].map(key => ({ path: files.path(`${key}/${NAME_FILE}`), fault: null }))
    return [...named, ...nameless].map(file => ({ ...file, heals: true }))
  })
  const beside = (name: string, fix: string): SmallFile[] =>
    reading(files.path(name), () => readable(files, name, fix, false))
  return [...names, ...foldersIn(stacks).flatMap(folder => [
    ...beside(`${folder}/${ARCHIVE_FILE}`, ARCHIVE_FIX), ...beside(`${folder}/${HEARD_FILE}`, HEARD_FIX),
  ])]
}

/** An error of the system is the finding of that path. */
function reading (path: string, find: (path: string) => SmallFile | SmallFile[] | undefined): SmallFile[] {
  try {
    return [find(path) ?? []].flat()
  } catch (error) {
    return [{ path, fault: faultOf(error), heals: false }]
  }
}

function foldersIn (path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.filter(entry => entry.isDirectory()).map(({ name }) => name).sort()
  } catch {
    return []
  }
}

function faultOf (error: unknown): Fault {
  const { code, message, fix } = failureJson(error)
  return { code, message, fix }
}
