/** The container engines that a test run was given, with an image to build in. */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ContainerEngineInit } from '../../../packages/node/src/adapters/engine-container/engine.ts'
import { canMakeImages } from './images.ts'

export const TEST_IMAGE = 'elder-test/base:latest'

export interface Given { name: 'docker' | 'podman', socket: string }

const HOW = 'as root on Debian: node test/engines/run.ts vitest run --project engines'

/** The socket of an ordinary user's Podman; says why there is none. */
export function givenRootless (): Given[] {
  const socket = process.env['ELDER_TEST_PODMAN_ROOTLESS']
  if (socket === undefined || !canMakeImages) console.info(`skipped: rootless podman: no daemon for tests (${HOW})`)
  return socket === undefined || !canMakeImages ? [] : [{ name: 'podman', socket }]
}

/** Docker and Podman as far as this run has them; says why for each that it has not. */
export function givenEngines (): Given[] {
  return (['docker', 'podman'] as const).flatMap(name => {
    const socket = process.env[`ELDER_TEST_${name.toUpperCase()}`]
    const why = socket === undefined ? `no ${name} daemon for tests (${HOW})` : canMakeImages ? undefined : 'no busybox to make images of'
    if (why !== undefined) console.info(`skipped: ${name}: ${why}`)
    return why === undefined && socket !== undefined ? [{ name, socket }] : []
  })
}

/** A folder that build users can traverse. */
export async function openFolder (prefix: string): Promise<{ path: string, remove: () => void }> {
  const path = mkdtempSync(join(tmpdir(), prefix))
  await chmod(path, 0o711)
  return { path, remove: () => { rmSync(path, { recursive: true, force: true }) } }
}

let folders = 0
/** The test daemons have no bridge: builds that are not sealed share the network of this machine. */
export function initOf ({ name, socket }: Given, base: string, more: Partial<ContainerEngineInit> = {}): ContainerEngineInit {
  const n = ++folders
  return { name, socket, dataDir: join(base, `data${n}`), root: join(base, `root${n}`), image: TEST_IMAGE, network: 'host', ...more }
}

/** Every process whose environment holds the marker, in whatever container. */
export async function survivors (marker: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async pid => (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(marker) ? Number(pid) : 0))
  return found.filter(pid => pid > 0)
}
