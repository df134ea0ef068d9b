/** The shape of one command's module. */
import type { Command } from 'commander'
import type { Context } from './context.ts'

/** Answers the exit code; nothing means 0. */
export type Handler<Options> = (context: Context, options: Options, args: string[]) => Promise<number | void>

export interface Kit {
  /** Turns a handler into a commander action. `unbounded`: `--timeout` means something of its own here. */
  act<Options> (handler: Handler<Options>, how?: { unbounded?: boolean }): (...given: unknown[]) => Promise<void>
  /** Words after `--`; undefined when there was no `--`. */
  rest: string[] | undefined
}

export interface CommandModule { register (command: Command, kit: Kit): void }
