/** Memory for people, and the JSON of an entry. */
import type { Author, Entry, Rival } from '@elder-node/crdt-stack'
import type { EntryChange, SearchHit, ShownEntry, StackProof, StackStatus } from '../../api.ts'
import { renderProblems } from './status.ts'
import type { Paint } from './style.ts'
import { table } from './table.ts'
import { age, ago, plain } from './units.ts'
import { fitTo } from './width.ts'

/** Names of devices by id, as far as they are known. */
export type Names = ReadonlyMap<string, string>
export interface Page { paint: Paint, nowMs: number, width: number }

const STACKS = [{ title: 'STACK', flexible: true }, { title: 'ENTRIES', align: 'right' as const }, { title: 'COPIES', align: 'right' as const }, { title: 'MIRRORS', flexible: true }, { title: '' }]
const ENTRIES = [{ title: 'ID' }, { title: 'KIND', flexible: true }, { title: 'TITLE', flexible: true }, { title: 'BY', flexible: true }, { title: 'CHANGED', align: 'right' as const }]
const LOG = [{ title: 'WHEN', align: 'right' as const }, { title: 'BY', flexible: true }, { title: 'DID', flexible: true }, { title: 'ENTRY' }, { title: 'TITLE', flexible: true }]
/** As many characters of an id as a person needs: the millisecond it was made in, and two more. */
const ID_CHARS = 12
const DID: Record<string, string> = { new: 'added', remove: 'removed', restore: 'restored' }

/** Who wrote something: ids are for programs, names for people. */
export function authorJson ({ device, agent }: Author, names: Names): object {
  return { device: { id: device, name: nameOf(device, names) }, ...(agent === undefined ? {} : { agent }) }
}

/** The contract's fields; rivals, unknown fields and `removed` only where there is something to say. */
export function entryJson (entry: ShownEntry, names: Names): object {
  const { author, rivals } = entry
  const others = Object.entries(rivals).map(([field, all]) => [field, all.map(rival => ({ ...rival, author: authorJson(rival.author, names) }))] as const)
  const { id, kind, title, body, tags, createdAt, updatedAt, revision, supersedes, supersededBy, removed, extra, omitted } = entry
  return {
    id, kind, title, body, tags, author: authorJson(author, names), createdAt, updatedAt, revision, supersedes, supersededBy,
    ...(removed ? { removed } : {}), ...(others.length > 0 ? { rivals: Object.fromEntries(others) } : {}), ...(Object.keys(extra).length > 0 ? { extra } : {}),
    ...(omitted === undefined ? {} : { omitted }),
  }
}

export function renderStacks (stacks: StackStatus[], { paint, nowMs, width }: Page): string {
  if (stacks.length === 0) return 'no stack yet: elder-node stack add <stack> --kind note --title "…"'
  return table(STACKS, stacks.map((stack) => [
    stack.name, String(stack.entries), String(stack.copies),
    stack.mirrors.map(({ state, lastPush }) => lastPush === null ? state : `${state}, ${ago(lastPush, nowMs)}`).join('; ') || 'none', stateOf(stack),
  ]), paint, width).join('\n')
}

function stateOf ({ archived, removed }: StackStatus): string {
  return removed !== undefined ? `removed ${removed.at.slice(0, 10)}` : archived ? 'archived' : ''
}

export function renderEntries (entries: Entry[], names: Names, { paint, nowMs, width }: Page): string {
  if (entries.length === 0) return 'no entries'
  const chars = idChars(entries.map(({ id }) => id))
  return table(ENTRIES, entries.map((entry) => [entry.id.slice(0, chars), entry.kind, entry.title, by(entry.author, names), age(entry.updatedAt, nowMs)]), paint, width).join('\n')
}

/** What tells these entries apart, and no less than {@link ID_CHARS}. */
function idChars (ids: string[]): number {
  const sorted = ids.toSorted()
  let most = ID_CHARS
  for (const [i, id] of sorted.entries()) while (sorted[i + 1]?.startsWith(id.slice(0, most)) === true && most < id.length) most++
  return most
}

export function renderEntry (stack: string, entry: ShownEntry, names: Names, paint: Paint): string {
  const rivals = Object.entries(entry.rivals).map(([field, all]) => field === 'removed' ? conflict(stack, entry, all, names) : `also ${plain(field)}: ${all.map(({ value }) => plain(JSON.stringify(value))).join(', ')}`)
  const facts = [`${entry.kind} ${entry.id}`, `by ${by(entry.author, names)}`, `changed ${entry.updatedAt}`, `revision ${entry.revision}`, ...(entry.tags.length > 0 ? [`tags ${entry.tags.join(', ')}`] : []), ...(entry.supersedes === null ? [] : [`replaces ${entry.supersedes}`]), ...(entry.supersededBy === null ? [] : [`replaced by ${entry.supersededBy}`])]
  const removed = entry.removed ? [paint('yellow', `removed: it is in no list; elder-node stack rm ${plain(stack)} ${entry.id} --undo brings it back`)] : []
  const omitted = entry.omitted === undefined ? [] : [`and ${count(entry.omitted, 'further value')} of other fields or written at the same time, which are kept and not shown`]
  return [paint('bold', plain(entry.title)), paint('dim', plain(facts.join('   '))), ...removed, ...rivals, ...omitted, '', plain(entry.body, { lines: true }).replace(/\n$/, '')].join('\n')
}

/** Removed by one, and written to at the same time by another: it is shown. */
function conflict (stack: string, { id }: ShownEntry, all: Rival[], names: Names): string {
  const who = all.map(({ author }) => by(author, names)).join(', ')
  return `removed by ${who}, and written to without knowing of it, so it is shown: elder-node stack rm ${plain(stack)} ${id} removes it again, with --undo it stays`
}

export function hitJson ({ entry, ...hit }: SearchHit, names: Names): object { return { ...hit, entry: { ...entry, author: authorJson(entry.author, names) } } }

export function stackJson ({ removed, ...stack }: StackStatus, names: Names): object {
  return { ...stack, ...(removed === undefined ? {} : { removed: { ...removed, by: authorJson(removed.by, names) } }) }
}

/** Two lines a hit: what it is, and where the words stand. */
export function renderHits (hits: SearchHit[], names: Names, { paint, nowMs, width }: Page): string {
  return hits.flatMap(({ stack, snippet, entry }) => {
    const title = fitTo(plain(entry.title), Math.max(20, width - ID_CHARS - 2))
    const facts = [plain(entry.kind), plain(stack), by(entry.author, names), age(entry.updatedAt, nowMs), ...(entry.tags.length > 0 ? [entry.tags.map((tag) => `#${plain(tag)}`).join(' ')] : [])]
    return [
      `${entry.id.slice(0, ID_CHARS)}  ${paint('bold', title)}`, `  ${paint('dim', fitTo(facts.join('  '), width - 2))}`,
      ...(snippet === '' ? [] : [`  ${fitTo(plain(snippet), width - 2)}`]),
    ]
  }).join('\n')
}

export function renderLog (items: EntryChange[], names: Names, { paint, nowMs, width }: Page): string {
  if (items.length === 0) return 'nothing was written yet'
  return table(LOG, items.map(({ at, author, change, field, entry }) => [
    ago(at, nowMs), by(author, names), didTo(change, field), entry?.id.slice(0, ID_CHARS) ?? '-', entry?.title ?? '',
  ]), paint, width).join('\n')
}

/** The changes of one entry, newest first: who did what, the revision it led to, and the difference. */
export function renderChanges (items: EntryChange[], names: Names, { paint, nowMs }: Page): string {
  if (items.length === 0) return 'nothing was written yet'
  return items.map(({ at, author, change, field, revision, difference }) => {
    const head = `${ago(at, nowMs)}  ${by(author, names)}  ${didTo(change, field)}  ${paint('dim', `revision ${revision}`)}`
    return [head, ...(difference ?? '').split('\n').filter(line => line !== '').map(line => `  ${painted(plain(line), paint)}`)].join('\n')
  }).join('\n\n')
}

function didTo (change: string, field: string | null): string { return DID[change] ?? (field === null ? change : `edited ${field}`) }

function painted (line: string, paint: Paint): string {
  return line.startsWith('+') ? paint('green', line) : line.startsWith('-') ? paint('red', line) : line.startsWith('@') ? paint('dim', line) : line
}

/** What the stack is, who holds exactly that, and what is wrong. */
export function renderProof (proof: StackProof, { paint, width }: Omit<Page, 'nowMs'>): string {
  const { stack, digest, feeds, entries, records, signatures, writers, devices, remotes, beyond, problems } = proof
  const good = (text: string): string => paint('green', text.padEnd(11))
  const other = (text: string): string => paint('yellow', text.padEnd(11))
  const devicesLine = devices.map(({ name, state }) => `  ${state === 'self' || state === 'same' ? good(state === 'self' ? 'this device' : 'same') : other(state)}  ${plain(name)}`)
  const remotesLine = remotes.map(({ url, state, commit, lacks, message }) => `  ${state === 'same' ? good(state) : other(state)}  ${fitTo(plain(
    `${url}${commit === null ? '' : ` @ ${commit.slice(0, 12)}`}${lacks === null || lacks === 0 ? '' : `   ${count(lacks, 'record')} not pushed yet`}${message === null ? '' : `   ${message}`}`), width - 15)}`)
  return [
    `${problems.length === 0 ? paint('green', 'ok') : paint('red', 'wrong')}  ${paint('bold', plain(stack))}   ${count(entries, 'entry', 'entries')} from ${count(records, 'record')} of ${count(writers.length, 'feed')}, ${count(signatures, 'signature')}`,
    `digest  ${digest}`, `feeds   ${feeds}`,
    'devices', ...devicesLine, ...(remotes.length === 0 ? ['remotes   none: elder-node stack remote add'] : ['remotes', ...remotesLine]),
    ...(beyond.length === 0 ? [] : ['beyond the cut of an evicted device, kept aside', ...beyond.map(asideLine)]),
    ...renderProblems(problems, paint, width),
  ].join('\n')
}

function asideLine ({ device: { id, name }, records }: StackProof['beyond'][number]): string {
  return `  ${count(records, 'record')} of ${plain(name)}   to bring back: elder-node evict ${id.slice(0, 12)} --keep`
}

function count (many: number, one: string, more: string = `${one}s`): string { return `${many} ${many === 1 ? one : more}` }

/** A device that is no member any more is known by its id alone. */
function nameOf (device: string, names: Names): string { return names.get(device) ?? device.slice(0, 8) }

function by (author: Author, names: Names): string {
  const device = nameOf(author.device, names)
  return plain(author.agent === undefined ? device : `${author.agent}@${device}`)
}
