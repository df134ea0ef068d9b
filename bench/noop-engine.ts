/** An engine that starts nothing: what remains of a build is what elder-node itself costs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Engine, RunEvent } from 'elder-node'

export class NoopEngine implements Engine {
  // The port knows four names; this one is the nearest to what it does.
  readonly name = 'process'
  readonly description = 'no-op engine of the bench: every command succeeds at once'

  async check (): Promise<void> {}
  createTree (id: string): Promise<string> { return mkdtemp(join(tmpdir(), `elder-noop-${id}-`)) }
  removeTree (tree: string): Promise<void> { return rm(tree, { recursive: true, force: true }) }
  async sweep (): Promise<void> {}

  async * run (): AsyncGenerator<RunEvent> {
    yield { type: 'started' }
    yield { type: 'exit', exitCode: 0, signal: null, reason: null }
  }
}
