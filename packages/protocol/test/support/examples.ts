/** Examples of an index.ts: each is a file that is type-checked and run, and the comment must say the same. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The fenced code of every `@example` in a file's first comment. */
export function examplesIn (path: string): string[] {
  const source = readFileSync(path, 'utf8')
  const comment = source.slice(0, source.indexOf('*/'))
  return [...comment.matchAll(/^ \* @example \S.*\n \* ```ts\n([^]*?)^ \* ```$/gm)].map(([, code]) => `${code?.replace(/^ \* ?/gm, '').trimEnd()}\n`)
}

export function exampleFiles (dir: string): Array<{ name: string, path: string, code: string }> {
  return readdirSync(dir).toSorted().map(name => ({ name, path: join(dir, name), code: readFileSync(join(dir, name), 'utf8') }))
}
