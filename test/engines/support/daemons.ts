/** Private container daemons for tests: sockets, images and state in a folder of their own, no systemd, no bridge, no firewall rules. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface Daemon {
  socket: string
  pid: number
  /** Ends it in order; its folder stays. */
  end: () => Promise<void>
  /** Ends it, its containers' mounts and its folder. */
  stop: () => Promise<void>
  /** Ends it as by a crash: containers and folder stay. */
  kill: () => Promise<void>
}

const READY_MS = 60_000
const STOP_MS = 20_000

/** @param dir - Its own folder, made here; a second daemon over the same folder is the next life of the first. */
export async function startDocker (dir: string): Promise<Daemon> {
  mkdirSync(dir, { recursive: true })
  for (const stale of ['pid', 'docker.sock']) rmSync(join(dir, stale), { force: true })
  writeFileSync(join(dir, 'daemon.json'), '{}')
  return start('dockerd', [
    '--config-file', join(dir, 'daemon.json'), '--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid'),
    '--host', `unix://${join(dir, 'docker.sock')}`, '--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false',
    '--userland-proxy=false', '--log-level', 'warn',
  ], { dir, socket: join(dir, 'docker.sock'), env: {} })
}

/**
 * Root without CAP_SYS_RESOURCE may not raise limits, and crun refuses a hybrid cgroup tree: hence runc, cgroupfs, and limits
 * below those of this process.
 */
export async function startPodman (dir: string): Promise<Daemon> {
  mkdirSync(dir, { recursive: true })
  rmSync(join(dir, 'podman.sock'), { force: true })
  writeFileSync(join(dir, 'containers.conf'), `[containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`)
  return start('podman', ['--root', join(dir, 'data'), '--runroot', join(dir, 'run'), 'system', 'service', '--time', '0', `unix://${join(dir, 'podman.sock')}`],
    { dir, socket: join(dir, 'podman.sock'), env: { CONTAINERS_CONF: join(dir, 'containers.conf') } })
}

/** Who has a rootless Podman in tests: a user that every system has. */
export const ROOTLESS_UID = 65_534

/**
 * Podman as an ordinary user. Its range of users is in files that only its own mount namespace sees at their usual place; no image
 * store but vfs needs no more privileges.
 */
export async function startRootlessPodman (dir: string): Promise<Daemon> {
  for (const part of ['', 'home']) mkdirSync(join(dir, part), { recursive: true })
  // Sockets of containers lie deep below it, and a socket's path has 108 bytes.
  const run = mkdtempSync('/tmp/er-')
  writeFileSync(join(dir, 'containers.conf'), '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n')
  writeFileSync(join(dir, 'storage.conf'), '[storage]\ndriver = "vfs"\n')
  writeFileSync(join(dir, 'subid'), `${execFileSync('id', ['-un', String(ROOTLESS_UID)], { encoding: 'utf8' }).trim()}:1000000:65536\n`)
  for (const path of [dir, join(dir, 'home'), run]) chownSync(path, ROOTLESS_UID, ROOTLESS_UID)
  const script = 'mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift && exec "$@"'
  const drop = ['setpriv', '--reuid', String(ROOTLESS_UID), '--regid', String(ROOTLESS_UID), '--clear-groups', '--']
  const socket = join(run, 'podman.sock')
  const daemon = await start('unshare', ['--mount', 'sh', '-c', script, 'sh', join(dir, 'subid'), ...drop, 'podman', 'system', 'service', '--time', '0', `unix://${socket}`], {
    dir, socket, env: { CONTAINERS_CONF: join(dir, 'containers.conf'), CONTAINERS_STORAGE_CONF: join(dir, 'storage.conf'), XDG_RUNTIME_DIR: run, HOME: join(dir, 'home') },
  })
  return {
    ...daemon,
    stop: async () => {
      await daemon.stop()
      // It went on as a child of its own, in the user namespace.
      try { process.kill(-daemon.pid, 'SIGKILL') } catch { /* nobody is left */ }
      endPause(join(run, 'libpod/tmp/pause.pid'))
      rmSync(run, { recursive: true, force: true })
    },
  }
}

async function start (program: string, args: string[], { dir, socket, env }: { dir: string, socket: string, env: Record<string, string> }): Promise<Daemon> {
  const log = openSync(join(dir, 'log'), 'a')
  const { PATH = '' } = process.env
  const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true, env: { HOME: dir, ...env, PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${PATH}` } })
  closeSync(log)
  const end = performance.now() + READY_MS
  while (!await answers(socket)) {
    if (child.exitCode !== null || performance.now() > end) {
      child.kill('SIGKILL')
      throw new Error(`${program} did not start: ${readFileSync(join(dir, 'log'), 'utf8').slice(-2000)}`)
    }
    await delay(50)
  }
  return {
    socket, pid: child.pid ?? 0,
    kill: () => endProcess(child, 'SIGKILL'),
    end: () => endProcess(child, 'SIGTERM'),
    stop: async () => {
      await endProcess(child, 'SIGTERM')
      endLeftovers(dir)
      unmountBelow(dir)
      rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    },
  }
}

async function endProcess (child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  const hard = setTimeout(() => { child.kill('SIGKILL') }, STOP_MS)
  await gone
  clearTimeout(hard)
}

/** The process that keeps the user namespace. */
function endPause (file: string): void {
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
  if (pid > 1 && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('catatonit')) process.kill(pid, 'SIGKILL')
}

/** A daemon that was killed leaves the shims of its containers, which name its folder. */
function endLeftovers (dir: string): void {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (/(^|\/)(containerd(-shim[^/]*)?|conmon|catatonit)$/.test(words[0] ?? '') && words.some(word => word.startsWith(`${dir}/`))) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
}

/** A clean stop leaves the daemon's bind of its own folder, a crash those of its containers. */
function unmountBelow (dir: string): void {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n').map(line => line.split(' ')[1] ?? '').filter(path => path.startsWith(`${dir}/`))
  for (const path of mounts.reverse()) spawnSync('umount', ['-l', path])
}

function answers (socketPath: string): Promise<boolean> {
  if (!existsSync(socketPath)) return Promise.resolve(false)
  return new Promise(resolve => {
    const asked = request({ socketPath, path: '/_ping', timeout: 2000 }, reply => {
      reply.resume()
      resolve(reply.statusCode === 200)
    })
    asked.once('error', () => { resolve(false) })
    asked.once('timeout', () => { asked.destroy() })
    asked.end()
  })
}
