/** Do the `elder-node` words of a command that is not run here exist? Asked of `--help`, once a command. */
import { spawnSync } from 'node:child_process'

const helps = new Map<string, string>()

function help (bin: string, words: string[]): string {
  const key = words.join(' ')
  const known = helps.get(key)
  if (known !== undefined) return known
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words, '--help'], { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1', COLUMNS: '80' } })
  const text = status === 0 ? stdout : `ended with ${status}: ${stderr}`
  helps.set(key, text)
  return text
}

/** What is wrong with them; nothing when every command and flag is known. */
export function unknownWords (bin: string, line: string): string[] {
  const wrong: string[] = []
  for (const [, call] of line.matchAll(/(?:^|[|&;(] *|\$ |sudo |npx (?:-y )?|ssh [a-z]+ )elder-node(?:@\w+)?((?: +(?:'[^']*'|"[^"]*"|[^\s|&;>)#'"]+))+)/g)) {
    const words = [...(call ?? '').matchAll(/'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word)
    if (words[0] === '--dir') words.splice(0, 2)
    const own = words.slice(0, words.includes('--') ? words.indexOf('--') : words.length)
    const path: string[] = []
    for (const word of own) {
      if (!/^[a-z]+$/.test(word) || !new RegExp(`^  ${word}( |$)`, 'm').test(commandsOf(help(bin, path)))) break
      path.push(word)
    }
    const text = help(bin, path)
    if (path.length === 0 && own.some((word) => /^[a-z]/.test(word))) wrong.push(`no command: elder-node ${own.join(' ')}`)
    if (path.length > 0 && /\[command\]/.test(text.split('\n')[0] ?? '') && /^[a-z]+$/.test(own[path.length] ?? '') && path[0] !== 'help') wrong.push(`no command: elder-node ${[...path, own[path.length]].join(' ')}`)
    for (const flag of own.filter((word) => /^--?[a-z]/i.test(word)).map((word) => word.replace(/=.*/, ''))) {
      if (!new RegExp(`(^|[\\s,])${flag}([\\s,=<[]|$)`, 'm').test(text + help(bin, []) + ' --help ')) wrong.push(`no flag: ${flag} of elder-node ${path.join(' ')}`)
    }
  }
  return wrong
}

/** Only the rows that name commands: an example is not one. */
function commandsOf (text: string): string { return text.split(/^Options:|^Examples:|^Exit codes:/m).filter((_part, index) => index !== 2).join('\n').replaceAll(/^  -.*$/gm, '') }
