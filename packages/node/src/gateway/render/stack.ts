/** Memory for people, and the JSON of an entry. */
import type { Entry } from '@elder-node/crdt-stack'
import type { StackStatus } from '../../api.ts'
import type { Paint } from './style.ts'
import { table } from './table.ts'
import { ago, plain } from './units.ts'

const STACKS = [{ title: 'STACK', flexible: true }, { title: 'ENTRIES', align: 'right' as const }, { title: 'COPIES', align: 'right' as const }, { title: 'MIRRORS', flexible: true }, { title: '' }]
const ENTRIES = [{ title: 'ID' }, { title: 'KIND', flexible: true }, { title: 'TITLE', flexible: true }, { title: 'BY', flexible: true }, { title: 'CHANGED', align: 'right' as const }]

/** The contract's fields; rivals, unknown fields and `removed` only where there is something to say. */
export function entryJson (entry: Entry): object {
  const { id, kind, title, body, tags, author, createdAt, updatedAt, supersedes, removed, rivals, extra } = entry
  return {
    id, kind, title, body, tags, author, createdAt, updatedAt, supersedes,
    ...(removed ? { removed } : {}), ...(Object.keys(rivals).length > 0 ? { rivals } : {}), ...(Object.keys(extra).length > 0 ? { extra } : {}),
  }
}

export function renderStacks (stacks: StackStatus[], paint: Paint, nowMs: number): string[] {
  if (stacks.length === 0) return ['no stack yet: elder-node stack add <stack> --kind note --title "…"']
  return table(STACKS, stacks.map((stack) => [
    stack.name, String(stack.entries), String(stack.copies),
    stack.mirrors.map(({ state, lastPush }) => lastPush === null ? state : `${state}, ${ago(lastPush, nowMs)}`).join('; ') || 'none', stack.archived ? 'archived' : '',
  ]), paint)
}

export function renderEntries (entries: Entry[], paint: Paint, nowMs: number): string {
  if (entries.length === 0) return 'no entries'
  return table(ENTRIES, entries.map((entry) => [entry.id, entry.kind, entry.title, by(entry), ago(entry.updatedAt, nowMs)]), paint, 100).join('\n')
}

export function renderEntry (entry: Entry, paint: Paint): string {
  const rivals = Object.entries(entry.rivals).map(([field, all]) => `also ${plain(field)}: ${all.map(({ value }) => plain(JSON.stringify(value))).join(', ')}`)
  const facts = [`${entry.kind} ${entry.id}`, `by ${by(entry)}`, `changed ${entry.updatedAt}`, ...(entry.tags.length > 0 ? [`tags ${entry.tags.join(', ')}`] : []), ...(entry.supersedes === null ? [] : [`replaces ${entry.supersedes}`])]
  return [paint('bold', plain(entry.title)), paint('dim', plain(facts.join('   '))), ...rivals, '', plain(entry.body, { lines: true }).replace(/\n$/, '')].join('\n')
}

function by ({ author }: Entry): string {
  return `${author.agent === undefined ? '' : `${author.agent}@`}${author.device.slice(0, 8)}`
}
