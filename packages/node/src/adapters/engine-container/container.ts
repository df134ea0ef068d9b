/** One container from its creation to its removal. */
import type { Duplex } from 'node:stream'
import type { ContainerClient } from './client.ts'
import { daemonFailed, DaemonError } from './http.ts'
import type { LimitWatch } from './limit-watch.ts'
import { Watchdog } from './watchdog.ts'

/** Well below the two seconds in which a cancelled build must be gone. */
const KILL_MS = 1_000

export class Container {
  readonly #client: ContainerClient
  readonly #id: string
  readonly #watchdog: Watchdog
  readonly #waiting = new AbortController()
  #output: Duplex | undefined

  private constructor (client: ContainerClient, id: string) {
    this.#client = client
    this.#id = id
    this.#watchdog = new Watchdog(id, client.socketPath)
  }

  static async create (client: ContainerClient, config: object): Promise<Container> {
    return new Container(client, await client.create(config).catch((error: unknown) => { throw daemonFailed('the container could not be made', error) }))
  }

  /** Starts it and returns its output, complete from the first byte. */
  async start (watch: (id: string) => LimitWatch): Promise<{ output: AsyncIterable<Uint8Array>, limits: LimitWatch }> {
    const limits = watch(this.#id)
    try {
      this.#output = await this.#client.attach(this.#id)
      await this.#client.start(this.#id)
      const { State: { Pid } } = await this.#client.inspect(this.#id)
      this.#watchdog.started(Pid)
      limits.started(Pid)
    } catch (error) {
      limits.stop()
      throw daemonFailed('the container could not be started', error)
    }
    return { output: this.#output as AsyncIterable<Uint8Array>, limits }
  }

  /** How it ended, after its output has. @throws ElderError `ENGINE_FAILED` when the daemon cannot say. */
  async ended (): Promise<{ exitCode: number, outOfMemory: boolean }> {
    try {
      const exitCode = await this.#client.wait(this.#id, this.#waiting.signal)
      const { State } = await this.#client.inspect(this.#id)
      return { exitCode, outOfMemory: State.OOMKilled }
    } catch (error) {
      const removed = error instanceof DaemonError && error.status === 404
      throw daemonFailed(removed ? 'the container of the build was removed by somebody else' : 'the container daemon went away while the build ran', error)
    }
  }

  /** Ends every process in it; does not wait for the daemon to tidy up. Never rejects. */
  async kill (): Promise<void> {
    await this.#client.kill(this.#id, AbortSignal.timeout(KILL_MS)).catch(() => this.#watchdog.trigger())
  }

  /** Nothing is left of it, running or not. Never rejects: what a dead daemon keeps is swept in the node's next life. */
  async remove (): Promise<void> {
    this.#waiting.abort()
    this.#output?.destroy()
    await this.#client.remove(this.#id).then(() => { this.#watchdog.dismiss() }, () => this.#watchdog.trigger())
  }
}
