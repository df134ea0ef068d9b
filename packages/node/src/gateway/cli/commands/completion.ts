/** `completion`: the script that teaches a shell the commands, flags, devices, builds, stacks and entries. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import type { Kit } from '../command.ts'
import { SCRIPTS } from '../completion/scripts.ts'
import type { Context } from '../context.ts'

export function register (command: Command, { act }: Kit): void {
  command
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText('after', `
Examples:
  echo 'source <(elder-node completion bash)' >> ~/.bashrc
  elder-node completion zsh > "\${fpath[1]}/_elder-node"
  elder-node completion fish > ~/.config/fish/completions/elder-node.fish
  source <(elder-node completion bash)          for this shell alone`)
    .action(act(completion))
}

async function completion ({ output }: Context, _options: object, [shell = '']: string[]): Promise<void> {
  const script = SCRIPTS[shell]
  if (script === undefined) throw new ElderError('USAGE', `"${shell}" is not a shell that is known here`, `Use one of: ${Object.keys(SCRIPTS).join(', ')}.`)
  if (output.json) return output.document('completion', { shell, script })
  output.raw(script)
}
