/** What past builds say about builders and commands. Pure memory; the service persists the same lines as its build history. */
import type { DeviceId } from '../ids.ts'

export interface Past {
  device: DeviceId
  project: string
  /** The command as one text. */
  command: string
  /** False when the builder was the reason of the failure. A failing command is a success of its builder. */
  ok: boolean
  /** Seconds the command ran, null when it did not end by itself. */
  runS: number | null
  atMs: number
}

const HALF_LIFE_MS = 3_600_000
const RUNS_KEPT = 7
const KEYS_MAX = 1024
const SPEED_WEIGHT = 0.3
/** Floor of the success term: a builder that failed is asked last, never excluded. */
const SUCCESS_MIN = 0.2
/** Seconds a command is expected to run when nothing is known. */
const RUN_DEFAULT_S = 30

interface Record { ok: number, runs: number, atMs: number, speed: number, usedMs: number }

export class History {
  readonly #builders = new Map<DeviceId, Record>()
  readonly #runs = new Map<string, number[]>()

  record (past: Past): void {
    const known = this.#builders.get(past.device) ?? { ok: 0, runs: 0, atMs: past.atMs, speed: 1, usedMs: past.atMs }
    const weight = decay(past.atMs - known.atMs)
    const speed = past.runS === null ? known.speed : this.#faster(known.speed, past, past.runS)
    this.#builders.set(past.device, { ok: known.ok * weight + (past.ok ? 1 : 0), runs: known.runs * weight + 1, atMs: past.atMs, speed, usedMs: past.atMs })
    if (past.ok && past.runS !== null) this.#remember(key(past.project, past.command), past.runS * speed)
  }

  /** Share of builds that did not fail through the builder, recency-weighted with a half-life of 1 h, 0.2 to 1; 1 when unknown. */
  success (device: DeviceId, nowMs: number): number {
    const known = this.#builders.get(device)
    if (known === undefined) return 1
    const weight = decay(nowMs - known.atMs)
    return Math.max(SUCCESS_MIN, (known.ok * weight + 2) / (known.runs * weight + 2))
  }

  /** Median of the last runs of this project and command, seconds at speed 1; 30 when unknown. */
  runS (project: string, command: string): number {
    const runs = [...this.#runs.get(key(project, command)) ?? []].sort((a, b) => a - b)
    return runs[Math.floor(runs.length / 2)] ?? RUN_DEFAULT_S
  }

  /** Whether this command ran in this project before: if not, {@link runS} is a guess. */
  ran (project: string, command: string): boolean { return this.#runs.has(key(project, command)) }

  /** Expected over actual run time, EWMA; 1 when unknown. */
  speed (device: DeviceId): number { return this.#builders.get(device)?.speed ?? 1 }

  /** When the builder was last used, on the clock of the records; undefined when never. */
  usedMs (device: DeviceId): number | undefined { return this.#builders.get(device)?.usedMs }

  #faster (speed: number, past: Past, runS: number): number {
    const known = this.#runs.get(key(past.project, past.command))
    if (known === undefined) return speed
    const observed = Math.min(10, Math.max(0.1, this.runS(past.project, past.command) / Math.max(runS, 0.01)))
    return speed * (1 - SPEED_WEIGHT) + observed * SPEED_WEIGHT
  }

  #remember (name: string, runS: number): void {
    const runs = [...this.#runs.get(name) ?? [], runS].slice(-RUNS_KEPT)
    this.#runs.delete(name)
    this.#runs.set(name, runs)
    if (this.#runs.size > KEYS_MAX) this.#runs.delete(this.#runs.keys().next().value as string)
  }
}

function decay (ageMs: number): number { return 0.5 ** (Math.max(0, ageMs) / HALF_LIFE_MS) }
function key (project: string, command: string): string { return `${project}\0${command}` }
