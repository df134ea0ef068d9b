/** The program and its place on this device: version, data directory, key, lock, socket, ports, settings, disk. */
import { bytes, percent } from '../render/units.ts'
import { fail, ok, skip, warn } from './check.ts'
import type { Check, Finding, Repair } from './check.ts'
import type { Facts } from './facts.ts'

const NODE_MIN = [22, 13] as const
const DISK_WARN = 0.1
const DISK_FAIL = 0.03
const OTHERS = 0o077

export const PLACE: Check[] = [
  { name: 'node', decide: node },
  { name: 'settings', decide: ({ settings }) => settings.fault === null ? ok('settings.json can be read') : fail(settings.fault.code, settings.fault.message, settings.fault.fix) },
  { name: 'data directory', decide: directory },
  { name: 'key', decide: key },
  { name: 'files', decide: files },
  { name: 'lock', decide: lock },
  { name: 'socket', decide: socket },
  { name: 'disk', decide: disk },
  { name: 'port', decide: ({ ports, mesh, lock: { holder } }) => ports.length === 0 ? skip('this node has not chosen a port yet') : ports.map(port => onePort(port, mesh?.status.self.pid ?? holder ?? undefined)) },
]

function node ({ program: { node: version, npx, service } }: Facts): Finding {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) return fail('NODE_TOO_OLD', `Node ${version} is older than ${NODE_MIN.join('.')}`, 'Install Node 24: https://nodejs.org')
  if (npx && !service) return warn('STARTED_BY_NPX', 'started by npx: loaded anew after every cleaning of the cache, and gone with its terminal', 'elder-node service install')
  return ok(`Node ${version} (needs ${NODE_MIN.join('.')})`)
}

/** Repairs only a folder that holds what is ours: `--dir /etc --fix` must not lock everybody out of /etc. */
function directory ({ dir, uid, hasMesh, key }: Facts): Finding {
  const { path, mode, missing } = dir
  if (!dir.there) return hasMesh ? fail('DIR_MISSING', `${path} is not there`, `mkdir -m 700 ${path}`, [{ do: 'mkdir', path }]) : skip(`${path} is not there yet: the first \`join\` makes it`)
  if (uid !== null && dir.uid !== uid) return fail('DIR_OWNER', `${path} belongs to another user`, `Run this as that user, or: sudo chown -R "$(id -u)" ${path}`)
  if (!dir.writable) return fail('DIR_READ_ONLY', `${path} cannot be written`, `chmod u+rwx ${path}, or choose another --dir; is the disk mounted read-only?`)
  if ((mode & OTHERS) !== 0) return fail('DIR_READABLE', `others may look into ${path} (mode ${octal(mode)})`, `chmod 700 ${path}`, hasMesh || key !== null ? [{ do: 'chmod', path, mode: 0o700 }] : [])
  if (hasMesh && missing.length > 0) return warn('DIR_INCOMPLETE', `folders are missing: ${missing.join(', ')}`, 'elder-node doctor --fix', missing.map((folder): Repair => ({ do: 'mkdir', path: folder })))
  return ok(`${path}, mode ${octal(mode)}`)
}

function key ({ key: file, hasMesh }: Facts): Finding {
  if (file === null) return hasMesh ? fail('KEY_MISSING', 'the key of this device is gone: it can no longer show who it is', 'Restore device.key from a backup; or elder-node leave --force, and join as a new device.') : skip('no key yet: the first `join` makes one')
  if (file.fault !== null) return fail(file.fault.code, file.fault.message, file.fault.fix)
  if ((file.mode & OTHERS) !== 0) return fail('KEY_READABLE', `others may read ${file.path} (mode ${octal(file.mode)}), and with it become this device`, `chmod 600 ${file.path}`, [{ do: 'chmod', path: file.path, mode: 0o600 }])
  return ok('the key is private')
}

/** Never repaired here: who could read one again would have lost what it holds. */
function files ({ files: read }: Facts): Finding | Finding[] {
  const bad = read.flatMap(({ fault, heals }) => fault === null ? [] : [(heals ? warn : fail)(fault.code, fault.message, fault.fix)])
  return bad.length > 0 ? bad : read.length === 0 ? skip('no files yet: the first `join` makes them') : ok(`${read.length} small files of the node can be read`)
}

function lock ({ lock: { path, there, holder } }: Facts): Finding {
  if (!there) return ok('no node holds the data directory')
  if (holder !== null) return ok(`held by the node that runs (process ${holder})`)
  return warn('LOCK_STALE', `${path} was left by a node that is gone`, `rm ${path}   (the next start does it, too)`, [{ do: 'remove', path }])
}

function socket ({ socket: { path, there, answers, folder }, lock: { holder }, uid }: Facts): Finding {
  if (folder !== null && uid !== null && (folder.uid !== uid || (folder.mode & OTHERS) !== 0)) {
    const repairs: Repair[] = folder.uid === uid ? [{ do: 'chmod', path: folder.path, mode: 0o700 }] : []
    return fail('SOCKET_FOLDER', `${folder.path}, where the control socket is, is open to others`, folder.uid === uid ? `chmod 700 ${folder.path}` : `Remove ${folder.path}, or choose a shorter --dir.`, repairs)
  }
  if (answers) return ok('the node answers')
  if (holder !== null) return fail('NODE_SILENT', `the node (process ${holder}) runs and does not answer at ${path}`, `Look at the end of node.log; then kill ${holder} and elder-node join`)
  if (there) return warn('SOCKET_STALE', `${path} was left by a node that is gone`, `rm ${path}   (the next start does it, too)`, [{ do: 'remove', path }])
  return skip('no node runs here')
}

function disk ({ dir: { disk: space } }: Facts): Finding {
  if (space === null) return skip('the disk does not say how full it is')
  const { freeBytes, totalBytes } = space
  const said = `${bytes(freeBytes)} free (${percent(freeBytes, totalBytes)})`
  if (freeBytes < DISK_FAIL * totalBytes) return fail('DISK_FULL', `the disk is as good as full: ${said}`, 'Free some space: builds and memory are at risk.')
  if (freeBytes < DISK_WARN * totalBytes) return warn('DISK_LOW', said, 'Free some space: below 10 % builds and memory are at risk.')
  return ok(said)
}

function onePort ({ port, taken, holder }: Facts['ports'][number], own: number | undefined): Finding {
  if (own !== undefined && taken && (holder === undefined || holder.pid === own)) return ok(`port ${port} is this node's`)
  if (own !== undefined && !taken) return warn('PORT_SILENT', `nobody listens on port ${port}`, 'Look for LISTEN_FAILED in node.log, then start the node again.')
  if (!taken) return ok(`port ${port} is free`)
  const who = holder === undefined ? 'another process' : `process ${holder.pid} (${holder.name})`
  return fail('PORT_IN_USE', `port ${port} is held by ${who}`, `Stop it, or: elder-node config set listen /ip4/0.0.0.0/tcp/${port + 1}`)
}

function octal (mode: number): string { return (mode & 0o777).toString(8).padStart(4, '0') }
