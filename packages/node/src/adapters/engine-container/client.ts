/**
 * The part of the Docker Engine API that builds need, over the daemon's Unix socket. Podman's service speaks it too.
 *
 * Own code instead of dockerode: that library pulls ssh2 and cpu-features, which compile native code at install.
 * https://docs.docker.com/reference/api/engine/
 */
import type { Duplex } from 'node:stream'
import { DaemonError, DaemonSocket, type Call } from './http.ts'

export interface DaemonVersion { Version: string, ApiVersion: string, Components?: Array<{ Name: string }> | null }

export interface DaemonInfo {
  ServerVersion: string
  OperatingSystem: string
  NCPU: number
  MemTotal: number
  MemoryLimit: boolean
  SwapLimit: boolean
  PidsLimit: boolean
  CpuCfsQuota: boolean
  CgroupDriver: string
  CgroupVersion?: string
  SecurityOptions?: string[] | null
  /** Where its images lie, on its own machine. */
  DockerRootDir?: string
  /** Podman's word for it. */
  Rootless?: boolean
}

export interface ImageSummary { Id: string, RepoTags?: string[] | null, Created: number, Size: number }
export interface ImageDetails { Id: string, Config?: { Volumes?: Record<string, unknown> | null } | null }
export interface ContainerSummary { Id: string, Labels?: Record<string, string> | null }
export interface ContainerDetails { State: { Status: string, Running: boolean, Pid: number, ExitCode: number, OOMKilled: boolean, Error?: string } }

export class ContainerClient {
  readonly #socket: DaemonSocket

  constructor (socketPath: string) { this.#socket = new DaemonSocket(socketPath) }

  get socketPath (): string { return this.#socket.path }

  version (signal?: AbortSignal): Promise<DaemonVersion> { return this.#get('/version', signal === undefined ? {} : { signal }) }
  info (): Promise<DaemonInfo> { return this.#get('/info') }

  /** Podman only: the file of its default system call filter. */
  async seccompPath (): Promise<string | undefined> {
    const { host } = await this.#get<{ host?: { security?: { seccompProfilePath?: string } } }>('/v4.0.0/libpod/info')
    return host?.security?.seccompProfilePath
  }

  images (): Promise<ImageSummary[]> { return this.#get('/images/json') }

  /** Undefined when there is no such image. */
  async image (name: string): Promise<ImageDetails | undefined> {
    return await this.#get<ImageDetails>(`/images/${encodeURIComponent(name)}/json`).catch(unlessMissing)
  }

  /** Progress as the daemon tells it; a failure is a line with `error`. */
  pull (image: string, tag: string | undefined, signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    return this.#socket.lines('POST', '/images/create', { query: { fromImage: image, tag }, signal })
  }

  /** Classic builder, from a tar of the context. */
  build (context: Uint8Array, query: Record<string, string>, signal: AbortSignal): AsyncGenerator<Record<string, unknown>> {
    return this.#socket.lines('POST', '/build', { query, body: context, signal })
  }

  /** @returns its id */
  async create (config: object): Promise<string> { return (await this.#post<{ Id: string }>('/containers/create', { json: config })).Id }

  /** Output from now on, in frames of {@link demultiplex}. */
  attach (id: string): Promise<Duplex> { return this.#socket.upgrade(`/containers/${id}/attach`, { query: { stream: '1', stdout: '1', stderr: '1' } }) }

  async start (id: string): Promise<void> { await this.#post(`/containers/${id}/start`) }

  /** Resolves when a started container has ended, at once when it has already. */
  async wait (id: string, signal: AbortSignal): Promise<number> {
    return (await this.#post<{ StatusCode: number }>(`/containers/${id}/wait`, { query: { condition: 'not-running' }, signal })).StatusCode
  }

  /** Not an error when it has ended or is gone. */
  async kill (id: string, signal: AbortSignal): Promise<void> {
    await this.#post(`/containers/${id}/kill`, { signal }).catch((error: unknown) => { if (!(error instanceof DaemonError)) throw error })
  }

  inspect (id: string): Promise<ContainerDetails> { return this.#get(`/containers/${id}/json`) }

  /** With its anonymous volumes, running or not; not an error when it is gone. */
  async remove (id: string): Promise<void> {
    await this.#socket.json('DELETE', `/containers/${id}`, { query: { force: '1', v: '1' } }).catch(unlessMissing)
  }

  /** Running or not. */
  list (label: string): Promise<ContainerSummary[]> { return this.#get('/containers/json', { query: { all: '1', filters: JSON.stringify({ label: [label] }) } }) }

  #get<T> (path: string, call?: Call): Promise<T> { return this.#socket.json('GET', path, call) }
  #post<T> (path: string, call?: Call): Promise<T> { return this.#socket.json('POST', path, call) }
}

function unlessMissing (error: unknown): undefined {
  if (error instanceof DaemonError && error.status === 404) return undefined
  throw error
}
