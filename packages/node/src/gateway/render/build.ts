/** A build for people: why this builder, what happened, how it ended. */
import type { BuildEvent, CandidateExplanation } from '../../api.ts'
import type { Paint } from './style.ts'
import { table, WIDTH } from './table.ts'
import { bytes, milliseconds, plain } from './units.ts'
import { widthOf, wrap } from './width.ts'

type Of<E extends BuildEvent['event']> = Extract<BuildEvent, { event: E }>

/** Below the word of a line. */
const INDENT = '         '
/** Phases shorter than this say nothing. */
const SHOWN_MS = 1
/** A term that is 0.00 everywhere takes no column. */
const SHOWN_S = 0.005
/** Of a builder that is there and lacks an image or its engine. */
const NO_FAULT = /^the (?:image|build names no image)|is not the name of an image$|^(?:docker|podman) does not answer/

/** One line for stderr; undefined for events that print nothing of their own. `verbose` adds the builder's own notes. */
export function renderEvent (event: BuildEvent, paint: Paint, { verbose = false }: { verbose?: boolean } = {}): string | undefined {
  switch (event.event) {
    case 'queued': return event.why === undefined ? undefined : `${paint('yellow', 'queued')}   build ${short(event.build)}: ${plain(event.why)}`
    case 'elected': return elected(event, paint)
    case 'started': return `${paint('dim', 'started')}  ${plain(event.message)}`
    case 'progress': return progress(event, paint, verbose)
    case 'moved': return `${paint('yellow', 'moved')}    ${plain(event.from.name)} ${NO_FAULT.test(event.why) ? 'cannot run it' : 'is lost'} (${plain(firstClause(event.why))}); trying elsewhere`
    case 'warning': return `${paint('yellow', 'warning')}  ${wrap(plain(event.message), WIDTH - INDENT.length).join(`\n${INDENT}`)}`
    case 'result': return result(event, paint)
    case 'log': return undefined
  }
}

/** The command's own output tells the rest. */
function progress ({ phase, message }: Of<'progress'>, paint: Paint, verbose: boolean): string | undefined {
  if (verbose) return `${paint('dim', phase.padEnd(7))}  ${plain(message)}`.trimEnd()
  return phase === 'preparing' ? paint('dim', 'prepare') : undefined
}

/** `the connection broke: device … ECONNREFUSED …` says enough with its first words; `builds why` and JSON have the rest. */
function firstClause (why: string): string { return why.split(': ')[0] ?? why }

function elected ({ build, builder, attempt, why, candidates }: Of<'elected'>, paint: Paint): string {
  const chosen = candidates.find(({ device }) => device.id === builder.id)
  const facts = [chosen?.rttMs == null ? undefined : milliseconds(chosen.rttMs), chosen?.score == null ? undefined : `predicted ${chosen.score.toFixed(1)} s${chosen.guessed === true ? ', a guess' : ''}`]
  const shown = facts.filter((fact) => fact !== undefined).join(', ')
  const head = `${paint('cyan', 'elected')}  ${paint('bold', plain(builder.name))}${shown === '' ? '' : ` (${shown})`}`
  const which = `build ${short(build)}${attempt > 1 ? `, attempt ${attempt}` : ''}`
  const line = `${head}: ${plain(why)}   ${which}`
  return widthOf(line) <= WIDTH ? line : [`${head}   ${which}`, ...wrap(plain(why), WIDTH - INDENT.length).map((part) => INDENT + part)].join('\n')
}

/** The candidates with the terms of their prediction in seconds, and the reasons of those that were refused. */
export function renderCandidates (candidates: CandidateExplanation[], chosen: string | undefined, paint: Paint): string[] {
  const all = [...new Set(candidates.flatMap(({ terms }) => Object.keys(terms)))]
  const names = all.filter((name) => name === 'rtt' || candidates.some(({ terms }) => (terms[name] ?? 0) >= SHOWN_S))
  const columns = [
    { title: 'CANDIDATE', flexible: true }, { title: 'PING', align: 'right' as const }, ...names.map((name) => ({ title: plain(name).toUpperCase(), align: 'right' as const })),
    { title: 'SECONDS', align: 'right' as const }, { title: '', flexible: true },
  ]
  const guesses = candidates.some(({ guessed }) => guessed === true) ? ['(a run of 30 s is a guess: this command has not run in this project before)'] : []
  return [...table(columns, candidates.map((candidate) => [
    candidate.device.name,
    candidate.rttMs === null || candidate.rttMs === 0 ? '-' : milliseconds(candidate.rttMs).replace(' ', ''),
    ...names.map((name) => candidate.terms[name] === undefined ? '-' : `${candidate.terms[name].toFixed(2)}${name === 'run' && candidate.guessed === true ? '?' : ''}`),
    candidate.score === null ? '-' : candidate.score.toFixed(2),
    candidate.device.id === chosen ? { text: '<- chosen', format: 'green' as const } : candidate.refused === null ? '' : { text: candidate.refused, format: 'dim' as const },
  ]), paint), ...guesses]
}

function result ({ build, exitCode, state, builder, attempt, sealed, timings, outputs }: Of<'result'>, paint: Paint): string {
  const word = state === 'done' && exitCode === 0 ? paint('green', 'ok') : state === 'cancelled' ? paint('yellow', 'cancelled') : paint('red', 'failed')
  const where = builder === null ? '' : ` on ${plain(builder.name)}`
  const times = Object.entries(timings).filter(([name, ms]) => ms >= SHOWN_MS || name === 'totalMs').map(([name, ms]) => `${plain(name.replace(/Ms$/, ''))} ${milliseconds(ms)}`).join(', ')
  const total = outputs.reduce((sum, output) => sum + output.bytes, 0)
  const whose = outputs.some(({ failed }) => failed === true) ? ' of the failed build' : ''
  const made = outputs.length === 0 ? '' : `   ${outputs.length} ${outputs.length === 1 ? 'output' : 'outputs'}${whose}, ${bytes(total)}`
  return `${word}  build ${short(build)} exit ${exitCode}${where}${attempt > 1 ? `, attempt ${attempt}` : ''}${sealed === true ? ', sealed' : ''}${made}${times === '' ? '' : `\n    ${paint('dim', times)}`}`
}

function short (id: string): string { return plain(id.slice(0, 8)) }
