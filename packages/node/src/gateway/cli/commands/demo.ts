/** `demo`: the whole story on this machine, told by public commands only. */
import type { Command } from 'commander'
import type { Kit } from '../command.ts'
import { runDemo } from '../../demo/demo.ts'

export function register (command: Command, { act }: Kit): void {
  command
    .option('--exit', 'end after the story (default: stay up until Ctrl-C)')
    .addHelpText('after', `
Three real nodes as processes of this machine, a real build on the elected one,
a builder killed in the middle, a shared memory mirrored to a real git remote,
every host destroyed and the memory brought back.
The demo's nodes run builds with the \`process\` engine: no isolation.

Examples:
  elder-node demo
  elder-node demo --exit
  elder-node demo --exit --json`)
    .action(act(runDemo, { unbounded: true }))
}
