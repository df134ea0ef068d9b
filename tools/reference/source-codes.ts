/** The codes that the sources can give an error, a problem or a finding, read from their syntax: so the catalogue can be held to them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAst } from 'rolldown/parseAst'

interface Syntax { type: string, start: number, [part: string]: unknown }

/** Calls whose argument at that place is a code. */
const MAKERS: Readonly<Record<string, number>> = { ElderError: 0, warn: 0, fail: 0, judge: 0, problem: 0, move: 1, refusalPage: 1 }
const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/
/** Of the system, and of Node. */
const FOREIGN = new Set(['EACCES', 'ENOENT', 'ENOSPC', 'EADDRINUSE', 'ECONNREFUSED'])

export interface SourceFacts {
  /** Each code with the files that can give it. */
  codes: Map<string, string[]>
  /** What the sources tell people to type: what follows `elder-node ` in a text. */
  commands: Array<{ text: string, file: string }>
}

/** What the sources of all packages below `root` say. */
export function readSources (root: string): SourceFacts {
  const facts: SourceFacts = { codes: new Map(), commands: [] }
  for (const path of ['protocol', 'crdt-stack', 'node'].flatMap(name => sources(join(root, 'packages', name, 'src')))) {
    const file = path.slice(root.length + 1)
    const { codes, texts } = readSource(readFileSync(path, 'utf8'))
    for (const code of codes) facts.codes.set(code, [...facts.codes.get(code) ?? [], file])
    facts.commands.push(...texts.flatMap(commandsIn).map(text => ({ text, file })))
  }
  return facts
}

/** Up to what ends a command: punctuation of prose, a bracket, a pipe, wide blanks, or a value that is filled in (\0). */
export function commandsIn (text: string): string[] {
  return [...text.matchAll(/elder-node ([a-z][^\n`;:,()|>…\0]*)/g)].map(([, words = '']) => words.split(/ {2,}|\. |\.$| -- /)[0]?.trim() ?? '')
}

/** The codes of one TypeScript file, and all its texts, with \0 where a value is filled in. */
export function readSource (source: string): { codes: Set<string>, texts: string[] } {
  const codes = new Set<string>()
  const texts: string[] = []
  // Most files have neither, and reading the syntax is what takes the time.
  if (/['"][A-Z]{2}|elder-node /.test(source)) {
    visit(parseAst(source, { lang: 'ts' }) as unknown as Syntax, node => {
      for (const literal of literals(codePlace(node))) if (CODE.test(literal) && !FOREIGN.has(literal)) codes.add(literal)
      if (node.type === 'Literal' && typeof node['value'] === 'string') texts.push(node['value'])
      if (node.type === 'TemplateLiteral') texts.push((node['quasis'] as Array<{ value: { cooked: string } }>).map(part => part.value.cooked).join('\0'))
    })
  }
  return { codes, texts }
}

/** What stands where a code stands: `new ElderError(here`, `fail(here`, `super(here`, `{ code: here }`, `[here, 'message', 'fix']`. */
function codePlace (node: Syntax): unknown {
  if (node.type === 'Property') return (node['key'] as { name?: string }).name === 'code' ? node['value'] : undefined
  if (node.type === 'ArrayExpression') return isTriple(node['elements'] as Syntax[]) ? (node['elements'] as unknown[])[0] : undefined
  if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return undefined
  const { type, name, property } = node['callee'] as { type: string, name?: string, property?: { name?: string } }
  const place = type === 'Super' || type === 'ConditionalExpression' ? 0 : MAKERS[name ?? property?.name ?? '']
  return place === undefined ? undefined : (node['arguments'] as unknown[])[place]
}

/** The arguments of an error, kept in a table. */
function isTriple (elements: Array<Syntax | null>): boolean {
  return elements.length === 3 && elements.every(one => one?.type === 'Literal' || one?.type === 'Identifier') && /\s/.test(String(elements[1]?.['value']))
}

/** A literal, or those of both ways of a condition. */
function literals (value: unknown): string[] {
  const { type, value: text, consequent, alternate, right } = (value ?? {}) as Syntax
  if (type === 'Literal' && typeof text === 'string') return [text]
  if (type === 'ConditionalExpression') return [...literals(consequent), ...literals(alternate)]
  return type === 'LogicalExpression' ? literals(right) : []
}

function visit (value: unknown, look: (node: Syntax) => void): void {
  if (Array.isArray(value)) { for (const item of value) visit(item, look); return }
  if (typeof value !== 'object' || value === null) return
  if (typeof (value as Syntax).type === 'string') look(value as Syntax)
  for (const part of Object.values(value)) visit(part, look)
}

function sources (folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts')).sort().map(name => join(folder, name))
}
