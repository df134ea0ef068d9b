/** Whether bubblewrap runs on this machine, found out by running it; when not, why and what helps. */
import { lstat, open, readFile, readlink } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { codeOf, ElderError } from '@elder-node/protocol'
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'
import { isNewEnough, SYSTEM, type SystemEntry } from './plan.ts'

/** A hundred times what it takes: a machine at a load of ten must not count as one without sandboxes. */
const TRIAL_MS = 60_000
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'EAGAIN'])

/** @throws ElderError `ENGINE_UNAVAILABLE` */
export async function findBwrap (): Promise<{ bwrap: string, version: string }> {
  const bwrap = findTool('bwrap')
  if (bwrap === undefined) throw unavailable('bubblewrap is not installed', 'sudo apt-get install bubblewrap (or your distribution\'s package of that name)')
  const version = (await runTool(bwrap, ['--version'])).trim().replace(/^bubblewrap /, '')
  if (isNewEnough(version) !== true) throw unavailable(`bubblewrap ${version} cannot forbid user namespaces inside the sandbox (--disable-userns came with 0.8.0)`, 'Install bubblewrap 0.8.0 or newer: Debian 12, Ubuntu 24.04 and Fedora have it.')
  return { bwrap, version }
}

export async function systemEntries (): Promise<SystemEntry[]> {
  const found = await Promise.all(SYSTEM.map(async (path): Promise<SystemEntry | undefined> => {
    const stat = await lstat(path).catch(() => undefined)
    if (stat?.isSymbolicLink() === true && path.lastIndexOf('/') === 0) return { path, link: await readlink(path) }
    return stat === undefined ? undefined : { path }
  }))
  return found.filter(entry => entry !== undefined)
}

/** Runs `true` in a sandbox. @throws ElderError `ENGINE_UNAVAILABLE` with what the kernel's settings say. */
export async function tryBwrap (bwrap: string, args: string[], seccomp: string): Promise<void> {
  const filter = await open(seccomp)
  const child = spawn(bwrap, [...args, '--', findTool('true') ?? 'true'], { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['ignore', 'ignore', 'pipe', filter.fd, 'pipe'], timeout: TRIAL_MS })
  await filter.close()
  // Read, or bwrap ends when it writes there.
  ;(child.stdio?.[4] as NodeJS.ReadableStream | undefined)?.resume()
  let said = ''
  child.stderr?.on('data', (data: Buffer) => { said = (said + data.toString()).slice(0, 1000) })
  const code = await new Promise((resolve, reject) => {
    // Without descriptors or processes to spare nothing is known of the sandbox.
    child.once('error', error => { if (EXHAUSTED.has(codeOf(error))) reject(error); else resolve(-1) })
    child.once('close', resolve)
  })
  if (code !== 0) throw unavailable(`bubblewrap cannot make a sandbox here: ${said.trim() || `exit ${String(code)}`}`, await remedy(async name => (await readFile(`/proc/sys/${name}`, 'utf8').catch(() => '')).trim(), said))
}

/** What keeps an ordinary user from making namespaces, most likely first. @param setting - Value of a kernel setting, empty when there is none. */
export async function remedy (setting: (name: string) => Promise<string>, said: string): Promise<string> {
  if (await setting('kernel/unprivileged_userns_clone') === '0') return 'sudo sysctl -w kernel.unprivileged_userns_clone=1 (and put it into /etc/sysctl.d/ to keep it)'
  if (await setting('user/max_user_namespaces') === '0') return 'sudo sysctl -w user.max_user_namespaces=15000 (and put it into /etc/sysctl.d/ to keep it)'
  if (await setting('kernel/apparmor_restrict_unprivileged_userns') === '1') {
    return 'Ubuntu lets only programs with an AppArmor profile make user namespaces. Give bubblewrap one: sudo apt-get install apparmor-profiles && sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict'
  }
  if (/namespace|uid map|permitted|denied|mount/i.test(said)) return 'Inside a container the outer one must allow user namespaces and mounts; run the node on the machine itself, or use --engine docker.'
  return 'Run the node with -v and look at what bubblewrap says, or use another engine: --engine docker.'
}

export function unavailable (why: string, fix: string): ElderError { return new ElderError('ENGINE_UNAVAILABLE', why, fix) }
