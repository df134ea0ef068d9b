/** Where container daemons listen, and which of them answers. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { ContainerClient } from './client.ts'
import { UnreachableError } from './http.ts'
import { homeFolder } from '../xdg.ts'

export type ContainerEngineName = 'docker' | 'podman'

/** A daemon that answered; `name` is what it says to be, wherever it listens. */
export interface FoundDaemon { client: ContainerClient, name: ContainerEngineName, version: string }

const PROBE_MS = 5_000

/** Well-known sockets, the user's own before the system's. */
export function socketCandidates (name: ContainerEngineName, env: NodeJS.ProcessEnv, home: string | undefined = homeFolder()): string[] {
  const { DOCKER_HOST = '', CONTAINER_HOST = '', XDG_RUNTIME_DIR = '' } = env
  const given = name === 'docker' ? DOCKER_HOST : CONTAINER_HOST
  if (given.startsWith('unix://')) return [given.slice('unix://'.length)]
  const own = XDG_RUNTIME_DIR === '' ? [] : [join(XDG_RUNTIME_DIR, name === 'docker' ? 'docker.sock' : 'podman/podman.sock')]
  return name === 'docker'
    ? [...own, '/var/run/docker.sock', ...(home === undefined ? [] : [join(home, '.docker/run/docker.sock')])]
    : [...own, '/run/podman/podman.sock']
}

/** The first daemon of that name which answers, else why there is none. */
export async function findDaemon (name: ContainerEngineName, sockets: string[], env: NodeJS.ProcessEnv): Promise<FoundDaemon | string> {
  const reasons: string[] = []
  if (name === 'docker' && /^[a-z]+:/.test(env['DOCKER_HOST'] ?? '') && env['DOCKER_HOST']?.startsWith('unix://') === false) {
    return `DOCKER_HOST is ${env['DOCKER_HOST']}: only a unix:// socket is used, for the tree of a build is a folder of this machine`
  }
  for (const path of sockets) {
    const found = await probe(path)
    if (typeof found === 'string') reasons.push(found)
    else if (found.name !== name) reasons.push(`${path} is ${found.name === 'podman' ? 'Podman' : 'Docker'}`)
    else return found
  }
  const known = reasons.filter(reason => reason !== '')
  return known.length > 0 ? known.join('; ') : `no socket at ${sockets.join(', ')}`
}

/** Empty for a socket that is not there. */
async function probe (path: string): Promise<FoundDaemon | string> {
  const client = new ContainerClient(path)
  try {
    if (!statSync(path).isSocket()) return `${path} is no socket`
    const { Version, Components } = await client.version(AbortSignal.timeout(PROBE_MS))
    const podman = (Components ?? []).some(component => component.Name === 'Podman Engine')
    return { client, name: podman ? 'podman' : 'docker', version: Version }
  } catch (error) {
    const errno = error instanceof UnreachableError ? error.errno : (error as { code?: string }).code
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return ''
    if (errno === 'EACCES' || errno === 'EPERM') return `this user may not use ${path}`
    if (errno === 'ECONNREFUSED') return `nothing answers at ${path}: its daemon is not running`
    return `${path} does not answer: ${(error as Error).message}`
  }
}
