/** The outside of a command: streams, environment, signals. A parameter, so that a test can be the terminal. */
import type { Readable, Writable } from 'node:stream'
import type { NodeFactory } from './node-factory.ts'

/** `columns` and `rows` of a terminal. */
export type Screen = Writable & { isTTY?: boolean, columns?: number, rows?: number }

export interface Io {
  stdin: Readable & { isTTY?: boolean }
  stdout: Screen
  stderr: Screen
  env: NodeJS.ProcessEnv
  cwd: string
  /** Calls back on SIGINT, SIGTERM and SIGHUP until the returned function is called. */
  onInterrupt (listener: () => void): () => void
  /** Calls back on whatever nobody caught, an error or a rejection, until the returned function is called. */
  onFault (listener: (fault: unknown) => void): () => void
  /** A clock that never jumps. */
  nowMs (): number
  /** Ends the process now: the second Ctrl-C. */
  exit (code: number): void
  /** What the process exits with when the reader of its output leaves before it ends. @default 0: it has seen enough */
  onUnread (code: number): void
  /** Loads the node itself, libp2p included: only `join` calls it. */
  nodeFactory (): Promise<NodeFactory>
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const FAULTS = ['uncaughtException', 'unhandledRejection'] as const

export function processIo (nodeFactory: Io['nodeFactory'], onUnread: Io['onUnread'] = () => {}): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: whereWeAre(),
    onInterrupt (listener) {
      for (const signal of SIGNALS) process.on(signal, listener)
      return () => { for (const signal of SIGNALS) process.off(signal, listener) }
    },
    onFault (listener) {
      for (const fault of FAULTS) process.on(fault, listener)
      return () => { for (const fault of FAULTS) process.off(fault, listener) }
    },
    nowMs: () => performance.now(),
    exit: (code) => process.exit(code),
    onUnread,
    nodeFactory,
  }
}

/** The folder may have been removed below us; most commands do not care, and those that do say that it is not there. */
function whereWeAre (): string {
  try {
    return process.cwd()
  } catch {
    return process.env.PWD ?? '/'
  }
}
