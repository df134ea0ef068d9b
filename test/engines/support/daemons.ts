/** Private container daemons for tests: sockets, images and state in a folder of their own, no systemd, no bridge, no firewall rules. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

async function start (program: string, args: string[], { dir, socket, env }: { dir: string, socket: string, env: Record<string, string> }): Promise<Daemon> {
  const log = openSync(join(dir, 'log'), 'a')
  const { PATH = '' } = process.env
  const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true, env: { ...env, PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${PATH}`, HOME: dir } })
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

/** A daemon that was killed leaves the shims of its containers, which name its folder. */
function endLeftovers (dir: string): void {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (/(^|\/)(containerd(-shim[^/]*)?|conmon)$/.test(words[0] ?? '') && words.some(word => word.startsWith(`${dir}/`))) process.kill(Number(pid), 'SIGKILL')
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
