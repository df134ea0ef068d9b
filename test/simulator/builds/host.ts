/**
 * A machine that runs builds, apart from the node that asks it to: the physical truth. Processes outlive a node that is killed for
 * two seconds at most, as the engine port promises, and go on while the node is stopped.
 */
import type { Engine, RunEvent, RunSpec } from '../../../packages/node/src/ports/engine.ts'
import type { Life, VirtualTime } from '../virtual/time.ts'

export interface Process { build: string, host: string }

const KILL_MS = 1_500
const ORPHAN_MS = 2_000
const BUILD_ID_CHARS = 26
const KILLED: RunEvent = { type: 'exit', exitCode: 137, signal: 'SIGKILL', reason: null }

export class Host {
  readonly name: string
  readonly processes = new Map<string, Process>()
  /** Builds whose command ran to its end here. */
  readonly completed = new Set<string>()
  readonly #time: VirtualTime
  readonly #random: () => number
  readonly #started: (process: Process) => void

  constructor (name: string, time: VirtualTime, random: () => number, started: (process: Process) => void) {
    this.name = name
    this.#time = time
    this.#random = random
    this.#started = started
  }

  /** The engine as the node of this life sees it. Mutants: `early` says that a build is gone before it is, `deaf` does not kill. */
  engine (life: Life, epoch: number, mutant: { early?: boolean, deaf?: boolean } = {}): Engine {
    return {
      name: 'process', description: 'simulated', check: async () => {}, createTree: async id => `/tree/${id}`, removeTree: async () => {},
      sweep: async () => { this.processes.clear() },
      run: (spec, { signal }) => this.#run(`${epoch}/${spec.id}`, spec, life, mutant.deaf === true ? new AbortController().signal : signal, mutant.early === true),
    }
  }

  /** The node was killed. */
  orphaned (): void {
    for (const key of this.processes.keys()) this.#time.at(this.#time.now + ORPHAN_MS * this.#random(), () => { this.processes.delete(key) })
  }

  async * #run (key: string, spec: RunSpec, life: Life, signal: AbortSignal, early: boolean): AsyncGenerator<RunEvent> {
    if (signal.aborted) return yield KILLED
    const build = spec.id.slice(0, BUILD_ID_CHARS)
    const process: Process = { build, host: this.name }
    this.processes.set(key, process)
    this.#started(process)
    yield { type: 'started' }
    yield { type: 'log', stream: 'stdout', data: Buffer.from(`${spec.id} begins\n`) }
    const isKilled = await new Promise<boolean>(resolve => {
      const gone = (killed: boolean): void => {
        this.processes.delete(key)
        if (!killed) this.completed.add(build)
        this.#time.within(life, () => { resolve(killed) })
      }
      const kill = (): void => {
        if (early) resolve(true)
        this.#time.at(this.#time.now + KILL_MS * this.#random(), () => { gone(true) })
      }
      this.#time.at(this.#time.now + Number(spec.command[1]), () => { if (this.processes.has(key) && !signal.aborted) gone(false) })
      if (signal.aborted) kill()
      signal.addEventListener('abort', kill, { once: true })
    })
    yield isKilled ? KILLED : { type: 'exit', exitCode: 0, signal: null, reason: null }
  }
}
