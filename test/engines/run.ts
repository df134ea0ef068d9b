/**
 * Starts Docker and Podman for the engine tests, runs a command with their sockets in ELDER_TEST_DOCKER, ELDER_TEST_PODMAN
 * and ELDER_TEST_PODMAN_ROOTLESS, and stops exactly what it started. `node test/engines/run.ts vitest run --project engines`
 *
 * Where it cannot (not root, not Debian, no package), it says why and runs the command all the same: what needs no daemon is
 * tested, the rest is skipped with its reason. A daemon that is there and fails the tests fails them.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startDocker, startPodman, startRootlessPodman, type Daemon } from './support/daemons.ts'

/** Debian's packages and a program of each. */
const PACKAGES = { 'docker.io': '/usr/sbin/dockerd', podman: '/usr/bin/podman', uidmap: '/usr/bin/newuidmap', runc: '/usr/sbin/runc', catatonit: '/usr/bin/catatonit', 'busybox-static': '/bin/busybox', bubblewrap: '/usr/bin/bwrap' }
const DAEMONS = [['docker', 'ELDER_TEST_DOCKER', startDocker], ['podman', 'ELDER_TEST_PODMAN', startPodman], ['podman-rootless', 'ELDER_TEST_PODMAN_ROOTLESS', startRootlessPodman]] as const
const APT_MS = 120_000

function whyNot (): string | undefined {
  if (process.platform !== 'linux') return 'containers of this system\'s kernel need Linux'
  if (process.getuid?.() !== 0) return 'starting daemons needs root'
  if (!existsSync('/etc/debian_version') || !existsSync('/usr/bin/apt-get')) return 'installing them is only known for Debian'
  const missing = Object.entries(PACKAGES).filter(([, program]) => !existsSync(program)).map(([name]) => name)
  return missing.length === 0 || install(missing) ? undefined : `apt-get could not install ${missing.join(', ')}`
}

function install (packages: string[]): boolean {
  console.log(`engines: installing ${packages.join(', ')}`)
  const apt = (...words: string[]): boolean => {
    const { status, stderr } = spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=60', ...words], { encoding: 'utf8', timeout: APT_MS, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    if (status !== 0) console.log(stderr.trim())
    return status === 0
  }
  const wanted = ['install', '-y', '--no-install-recommends', ...packages]
  return apt(...wanted) || (apt('update') && apt(...wanted))
}

async function main (): Promise<number> {
  const base = mkdtempSync(join(tmpdir(), 'elder-engines-'))
  const daemons: Daemon[] = []
  const env = { ...process.env }
  try {
    const reason = whyNot()
    if (reason !== undefined) console.log(`engines: Docker and Podman are not tested: ${reason}`)
    chmodSync(base, 0o711)
    for (const [name, variable, begin] of DAEMONS) {
      if (reason !== undefined || env[variable] !== undefined) continue
      const daemon = await begin(join(base, name)).catch((error: unknown) => { console.log(`engines: ${name} is not tested: ${(error as Error).message}`) })
      if (daemon === undefined) continue
      daemons.push(daemon)
      env[variable] = daemon.socket
      console.log(`engines: ${name} runs as process ${daemon.pid}`)
    }
    const [program = 'true', ...args] = process.argv.slice(2)
    const child = spawn(program, args, { stdio: 'inherit', env })
    const [code] = await once(child, 'exit') as [number | null]
    return code ?? 1
  } finally {
    for (const daemon of daemons) await daemon.stop()
    rmSync(base, { recursive: true, force: true })
  }
}

process.exitCode = await main()
