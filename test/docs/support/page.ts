/**
 * A page of the documentation as a list of things to do. Blocks of `sh` are typed as they stand; in `console` blocks a line that begins
 * with a device and `$` is typed there, and what follows is what it shows. Comments above a block, visible in its source, say the rest:
 *
 *     <!-- given: laptop, mini (2 slots) -->       these devices are in one mesh when the page begins
 *     <!-- on: mini -->                            an `sh` block is typed there (else on laptop)
 *     <!-- file: ~/app.ts -->                      the block is this file's content
 *     <!-- exit: 125 -->                           its last command ends so
 *     <!-- power: mini is lost after "…" -->      while the first command runs: that device, or whichever was elected
 *     <!-- not run: why -->                        its `elder-node` words must parse all the same
 */
export interface Typed { readonly device: string, readonly line: string, readonly shown: string[], readonly at: number }
export interface Block {
  readonly at: number
  readonly typed: Typed[]
  readonly file?: { path: string, text: string }
  readonly notRun?: string
  readonly exit: number
  readonly lost?: Lost
}
export interface Lost { readonly device: string, readonly after: string }
export interface Given { readonly name: string, readonly slots: number }
export interface Page { readonly given: Given[], readonly blocks: Block[], readonly inline: Array<{ line: string, at: number }> }

const MARK = /^<!-- (given|on|file|exit|power|not run): (.+) -->$/
const RUN = ['sh', 'console']

export function parsePage (text: string): Page {
  const lines = text.split('\n')
  const given: Given[] = []
  const blocks: Block[] = []
  const inline: Page['inline'] = []
  let marks: Record<string, string> = {}
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const mark = MARK.exec(line.trim())
    if (mark?.[1] === 'given') given.push(...devicesOf(mark[2] ?? ''))
    else if (mark !== null) marks[mark[1] ?? ''] = mark[2] ?? ''
    else if (line.startsWith('<!--') && /run|device|exit|power/.test(line)) throw new Error(`line ${at + 1}: no mark that the test knows: ${line}`)
    const fence = /^( *)```(\w*)\s*$/.exec(line)
    if (fence === null) {
      if (line.trim() !== '' && mark === null && Object.keys(marks).length > 0) throw new Error(`line ${at + 1}: a block must follow ${JSON.stringify(marks)}`)
      for (const [, code] of line.matchAll(/`([^`]+)`/g)) if (code?.includes('elder-node ') === true) inline.push({ line: code, at: at + 1 })
      continue
    }
    const end = lines.indexOf(`${fence[1] ?? ''}\`\`\``, at + 1)
    if (end < 0) throw new Error(`line ${at + 1}: a block without an end`)
    const body = lines.slice(at + 1, end).map((row) => row.slice(fence[1]?.length ?? 0))
    if (RUN.includes(fence[2] ?? '') || marks['file'] !== undefined) blocks.push(blockOf(fence[2] ?? '', body, at + 1, marks))
    marks = {}
    at = end
  }
  return { given, blocks, inline }
}

function devicesOf (text: string): Given[] {
  return text.split(/,\s*|\s+and\s+/).map((word) => {
    const [, name, slots] = /^([a-z]+)(?: \((\d+) slots?\))?$/.exec(word.trim()) ?? []
    if (name === undefined) throw new Error(`not a device: ${word}`)
    return { name, slots: Number(slots ?? 0) }
  })
}

function blockOf (language: string, body: string[], at: number, marks: Record<string, string>): Block {
  const [, device = '', after = ''] = /^([a-z]+) is lost after "(.+)"$/.exec(marks['power'] ?? '') ?? []
  if (marks['power'] !== undefined && device === '') throw new Error(`line ${at}: ${marks['power']}`)
  return {
    at, exit: Number(marks['exit'] ?? 0),
    typed: marks['file'] !== undefined ? [] : language === 'sh' ? typedOf(body, at, marks['on'] ?? 'laptop') : shownOf(body, at),
    ...(marks['file'] === undefined ? {} : { file: { path: marks['file'], text: body.join('\n') + '\n' } }),
    ...(marks['not run'] === undefined ? {} : { notRun: marks['not run'] }),
    ...(device === '' ? {} : { lost: { device, after } }),
  }
}

/** Lines of a script: comments are for the reader, a `\` at the end goes on. */
function typedOf (body: string[], at: number, device: string): Typed[] {
  const typed: Typed[] = []
  for (let index = 0; index < body.length; index++) {
    const first = index
    let line = body[index] ?? ''
    while (line.endsWith('\\')) line = `${line.slice(0, -1)}${(body[++index] ?? '').trim()}`
    if (line.trim() !== '' && !line.startsWith('#')) typed.push({ device, line, shown: [], at: at + first + 1 })
  }
  return typed
}

function shownOf (body: string[], at: number): Typed[] {
  const typed: Typed[] = []
  for (let index = 0; index < body.length; index++) {
    const prompt = /^([a-z]+)\$ (.*)$/.exec(body[index] ?? '')
    if (prompt === null) {
      if (typed.length === 0) throw new Error(`line ${at + index + 1}: a console block begins with a device and $`)
      typed.at(-1)?.shown.push(body[index] ?? '')
      continue
    }
    const first = index
    let line = prompt[2] ?? ''
    while (line.endsWith('\\')) line = `${line.slice(0, -1)}${(body[++index] ?? '').trim()}`
    typed.push({ device: prompt[1] ?? '', line, shown: [], at: at + first + 1 })
  }
  return typed
}
