/** Runs command lines in this process, as a terminal would see them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { serveControl } from '../../src/gateway/control-server.ts'
import type { ControlServer } from '../../src/gateway/control-server.ts'
import { runCli } from '../../src/gateway/cli/main.ts'
import type { NodeFactory } from '../../src/gateway/cli/node-factory.ts'
import { locate } from '../../src/gateway/location.ts'
import { FakeNode } from './fake-node.ts'

export interface Ran { code: number, stdout: string, stderr: string, json: () => Array<Record<string, unknown>> }
export interface RunOptions {
  /** Several are several lines of a terminal. */
  stdin?: string | Buffer | string[]
  env?: NodeJS.ProcessEnv
  cwd?: string
  /** Both streams are a terminal of this size. */
  tty?: { columns: number, rows: number }
  nodeFactory?: NodeFactory
  /** `interrupt(ms)`: Ctrl-C, so long after the one before. */
  onStart?: (interrupt: (laterMs?: number) => void, out: { stdout: () => string }, fault: (error: unknown) => void) => void
}

export class Desk implements AsyncDisposable {
  readonly dir: string = mkdtempSync(join(tmpdir(), 'elder-cli-'))
  readonly node: FakeNode = new FakeNode()
  #server: ControlServer | undefined

  /** A desk whose node runs. */
  static async open (): Promise<Desk> {
    const desk = new Desk()
    desk.#server = await serveControl(desk.node, locate(desk.dir, {}).socket)
    return desk
  }

  get socket (): string { return locate(this.dir, {}).socket }

  async run (argv: string[], options: RunOptions = {}): Promise<Ran> {
    const stdout = sink(options.tty)
    const stderr = sink(options.tty)
    let interrupt = (): void => {}
    let fault = (_error: unknown): void => {}
    let nowMs = 0
    const exited = Promise.withResolvers<number>()
    const running = runCli(argv, {
      stdin: Object.assign(Readable.from([options.stdin ?? []].flat().map(text => Buffer.from(text as string))), { isTTY: options.tty !== undefined }), stdout: stdout.stream, stderr: stderr.stream,
      env: { ELDER_NODE_DIR: this.dir, ...options.env }, cwd: options.cwd ?? this.dir,
      onInterrupt: (listener) => { interrupt = listener; return () => { interrupt = () => {} } },
      onFault: (listener) => { fault = listener; return () => { fault = () => {} } },
      nowMs: () => nowMs,
      exit: (code) => exited.resolve(code),
      onUnread: () => {},
      nodeFactory: async () => options.nodeFactory ?? (() => { throw new Error('this command must not load the node') }),
    })
    options.onStart?.((laterMs = 1000) => { nowMs += laterMs; interrupt() }, { stdout: stdout.text }, (error) => fault(error))
    const code = await Promise.race([running, exited.promise])
    return { code, stdout: stdout.text(), stderr: stderr.text(), json: () => stdout.text().trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#server?.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function sink (tty?: RunOptions['tty']): { stream: PassThrough, text: () => string } {
  const chunks: Buffer[] = []
  const stream = new PassThrough()
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (tty !== undefined) Object.assign(stream, { isTTY: true, ...tty })
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') }
}
