/** The page of JSON documents, from the shapes that the contract test holds the program to. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fence, page } from './markdown.ts'

const SHAPES = 'test/contract/shapes'

export function jsonPage (root: string): string {
  const names = readdirSync(join(root, SHAPES)).sort().map(file => file.replace(/\.txt$/, ''))
  return page('JSON documents',
    'What each command prints with `--json`, one document, or one per line where there is a stream. Every document carries its schema; a field may be added, none is renamed or taken away without another schema. Errors are documents too: `{"schema", "error": {"code", "message", "fix"}}`, with the exit code of [cli.md](cli.md) and a code of [errors.md](errors.md).',
    'In these shapes `[ x ]` is a list of x, `a | b` is either, and `name?` is not in every document. A figure that is not known, such as the load of a device that is offline, is null. Ids and digests are text in base 32, times are ISO 8601 in UTC, `…Ms` are milliseconds, `…Bytes` bytes.',
    ...names.map(name => section(name, readFileSync(join(root, SHAPES, `${name}.txt`), 'utf8'))))
}

/** `build.result` is the event `result` of `build`; `build.dry-run` another occasion, `stack.add` a command of its own. */
function section (name: string, shape: string): string {
  const event = /^ {2}event: "([^"]+)"$/m.exec(shape)?.[1]
  const command = event !== undefined && name.endsWith(`.${event}`) ? name.slice(0, -event.length - 1) : name
  return `## ${command.replaceAll('.', ' ')}${event === undefined ? '' : `: event ${event}`}\n\n${fence(shape)}`
}
