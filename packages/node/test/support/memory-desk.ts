/**
 * The command line over real stacks: everything from the typed words to the feeds, and to other devices; only the rest
 * of the node is in memory.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { FacadeComponents } from '../../src/facade/facade.ts'
import { stackVerbs } from '../../src/facade/stack-verbs.ts'
import type { Which } from '../../src/services/stacks.ts'
import { Desk, type Ran, type RunOptions } from './cli.ts'
import { StackMesh, type StackNode } from './stacks.ts'

export const TTY = { tty: { columns: 100, rows: 30 } }

/** One device: a command line and its stacks. */
export class Seat implements AsyncDisposable {
  readonly desk: Desk
  readonly node: StackNode

  constructor (desk: Desk, node: StackNode) {
    this.desk = desk
    this.node = node
    const { stacks, remotes } = node
    const mirror = { sync: async () => [] }
    const parts = { stacks, remotes, mirror, stackList: (which?: Which) => stacks.list({ which }) } as unknown as FacadeComponents
    desk.node.stacks = stackVerbs(parts, {})
  }

  async run (line: string[], options: RunOptions = {}): Promise<Ran> { return await this.desk.run(line, options) }

  /** The one JSON document of a command. */
  async json (line: string[], options: RunOptions = {}): Promise<Record<string, unknown>> {
    return (await this.desk.run([...line, '--json'], options)).json()[0] ?? {}
  }

  /** Titles by stack, of every stack that is listed. */
  async held (...flags: string[]): Promise<Record<string, string[]>> {
    const { stacks } = await this.json(['stack', 'list', ...flags]) as { stacks: Array<{ name: string }> }
    const all = await Promise.all(stacks.map(async ({ name }) => [name, (await this.node.stacks.open(name).list()).map(({ title }) => title)] as const))
    return Object.fromEntries(all)
  }

  /** A clone of that repository, in a folder of its own. */
  clone (origin: string, folder: string = origin.replace(/\W+/g, '-')): string {
    const dir = join(this.desk.dir, folder)
    mkdirSync(dir, { recursive: true })
    execFileSync('git', ['init', '-q', dir])
    execFileSync('git', ['-C', dir, 'remote', 'add', 'origin', origin])
    return dir
  }

  async [Symbol.asyncDispose] (): Promise<void> { await this.desk[Symbol.asyncDispose]() }
}

/** Devices of one mesh, connected. */
export class Office implements AsyncDisposable {
  readonly mesh = new StackMesh()
  readonly #seats: Seat[] = []

  async seat (): Promise<Seat> {
    const seat = new Seat(await Desk.open(), await this.mesh.node())
    this.#seats.push(seat)
    await this.mesh.connectAll()
    return seat
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    for (const seat of this.#seats) await seat[Symbol.asyncDispose]()
    await this.mesh.stop()
  }
}
