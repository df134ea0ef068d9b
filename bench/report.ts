/** What a run found: rows as they come, a table at the end. */
import { cpus, loadavg, totalmem } from 'node:os'
import { summary, type Summary } from './stats.ts'

export interface Figure { name: string, figure: Summary }
export interface Row { id: string, what: string, unit: string, devices: number, ours: Summary | null, peers: Figure[], target: string | null }
export interface Machine { cpu: string, cores: number, memoryBytes: number, node: string, platform: string, loadBefore: number, loadAfter: number }
export interface BenchReport { schema: 'elder/bench.v1', at: string, counts: 'full' | 'quick' | 'smoke', form?: string, machine: Machine, missingPeers: string[], failed: Array<{ part: string, error: string }>, rows: Row[] }

export interface Finding { id: string, what: string, unit: string, devices: number, ours: number[], peers?: Record<string, number[]>, target?: string }

export class Report {
  readonly rows: Row[] = []
  readonly missing = new Set<string>()
  readonly failed: Array<{ part: string, error: string }> = []
  readonly #loadBefore = load()
  readonly #say: (text: string) => void

  constructor (say: (text: string) => void) { this.#say = say }

  add ({ id, what, unit, devices, ours, peers = {}, target }: Finding): void {
    const figures = Object.entries(peers).flatMap(([name, values]) => { const figure = summary(values); return figure === undefined ? [] : [{ name, figure }] })
    const row: Row = { id, what, unit, devices, ours: summary(ours) ?? null, peers: figures, target: target ?? null }
    this.rows.push(row)
    this.#say(`  ${what}: ${cell(row.ours)} ${unit}${figures.map(({ name, figure }) => `   ${name}: ${cell(figure)}`).join('')}`)
  }

  say (text: string): void { this.#say(text) }

  /** A part that fails says so in the report, and the run goes on with the next. */
  async part (name: string, measure: () => Promise<void>): Promise<void> {
    this.#say(name)
    try {
      await measure()
    } catch (error) {
      this.failed.push({ part: name, error: String((error as Error).stack ?? error) })
      this.#say(`  FAILED: ${String((error as Error).message)}`)
    }
  }

  end (counts: BenchReport['counts'], form?: string): BenchReport {
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem(), node: process.version, platform: `${process.platform}/${process.arch}`, loadBefore: this.#loadBefore, loadAfter: load() }
    return { schema: 'elder/bench.v1', at: new Date().toISOString(), counts, ...form === undefined ? {} : { form }, machine, missingPeers: [...this.missing].toSorted(), failed: this.failed, rows: this.rows }
  }
}

function load (): number { return Math.round((loadavg()[0] ?? 0) * 100) / 100 }

/** `median (min – max)`, or the one figure there is. */
function cell (figure: Summary | null): string {
  if (figure === null) return 'not measured'
  return figure.n === 1 ? `${figure.p50}` : `${figure.p50} (${figure.min}–${figure.max})`
}

export function markdown ({ at, counts, form, machine, missingPeers, failed, rows }: BenchReport): string {
  const lines = rows.map(row => `| ${row.devices} | ${row.what} | ${row.unit} | ${cell(row.ours)} | ${row.peers.map(({ name, figure }) => `${name}: ${cell(figure)}`).join('; ') || '-'} | ${row.target ?? '-'} |`)
  return [
    `${at}: ${counts === 'full' ? '' : `${counts} run, few repetitions; `}${form === undefined ? '' : `${form} form; `}${machine.cpu}, ${machine.cores} cores, ${Math.round(machine.memoryBytes / 2 ** 30)} GiB, Node ${machine.node}, ${machine.platform}; load ${machine.loadBefore} before, ${machine.loadAfter} after.`,
    `Peers not here: ${missingPeers.join(', ') || 'none'}.${failed.map(({ part, error }) => ` Failed: ${part}: ${error.split('\n')[0]}.`).join('')}`, '',
    '| devices | what | unit | ours: median (min–max) | peer, same run | target |', '|---|---|---|---|---|---|', ...lines, '',
  ].join('\n')
}
