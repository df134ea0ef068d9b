/** Entries as Markdown: a pure function of the stack's state, so every device renders the same bytes. */
import { isEntryId, toBase32, type Crypto } from '@elder-node/protocol'
import type { Author, Entry } from '../types.ts'
import { entryPath, viewPath } from './layout.ts'
import { renderAgents, renderMemory } from './views.ts'
import { seal, UNSEALED } from './seal.ts'

/** Path -> content of everything rendered of one stack. Removed entries are left out: their text stays in git's history. */
export function renderStack (key: string, entries: Entry[], crypto: Crypto): Map<string, Uint8Array> {
  const live = entries.filter(entry => !entry.removed && isEntryId(entry.id)).sort((a, b) => a.id < b.id ? -1 : 1)
  const files = new Map(live.map(entry => [entryPath(key, entry.kind, entry.id), renderEntry(entry, crypto)]))
  files.set(viewPath(key, 'AGENTS.md'), seal(renderAgents(key), crypto))
  files.set(viewPath(key, 'MEMORY.md'), seal(renderMemory(key, live), crypto))
  return files
}

/** Front matter with sorted keys and JSON scalars (which YAML 1.2 reads), then the body, byte-exact. */
export function renderEntry (entry: Entry, crypto: Crypto): Uint8Array {
  const fields: Record<string, unknown> = {
    author: authorFields(entry.author), createdAt: entry.createdAt, id: entry.id, kind: entry.kind, seal: undefined,
    supersedes: entry.supersedes ?? undefined, tags: entry.tags, title: entry.title, updatedAt: entry.updatedAt,
    omitted: entry.omitted,
    extra: hasKeys(entry.extra) ? entry.extra : undefined,
    rivals: hasKeys(entry.rivals) ? entry.rivals : undefined,
  }
  const lines = Object.keys(fields).sort().flatMap(name => {
    if (name === 'seal') return [`seal: ${UNSEALED}`]
    return fields[name] === undefined ? [] : [`${name}: ${json(fields[name])}`]
  })
  return seal(`---\n${lines.join('\n')}\n---\n${wellFormed(entry.body)}`, crypto)
}

/** JSON with sorted keys; bytes as `{"base32": …}`; characters that YAML would refuse or fold are escaped. */
function json (value: unknown): string {
  if (value instanceof Uint8Array) return json({ base32: toBase32(value) })
  if (Array.isArray(value)) return `[${value.map(json).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined).sort(([a], [b]) => a < b ? -1 : 1)
    return `{${fields.map(([name, field]) => `${json(name)}: ${json(field)}`).join(', ')}}`
  }
  return (JSON.stringify(value) ?? 'null').replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function authorFields (author: Author): Record<string, unknown> { return { agent: author.agent, device: author.device } }

function hasKeys (value: object): boolean { return Object.keys(value).length > 0 }

/** A lone surrogate has no UTF-8 form; the encoder would replace it, and so do we, for the seal to fit. */
function wellFormed (text: string): string { return text.isWellFormed() ? text : text.toWellFormed() }

