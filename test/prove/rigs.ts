/** What the promises are measured with, besides tests: each rig counts what it did, and says what went wrong. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { MeshBook, idOf } from '../../packages/protocol/test/support/mesh-book.ts'
import { input, outcome, TARGETS } from '../../packages/protocol/test/support/targets.ts'
import { MembershipGraph, type MemberRecord } from '@elder-node/protocol'
import { planOf as farmPlan } from '../simulator/builds/plan.ts'
import { Yard } from '../simulator/builds/yard.ts'
import { LeaseFarm } from '../simulator/leases/farm.ts'
import { planOf as townPlan } from '../simulator/membership/plan.ts'
import { Town } from '../simulator/membership/town.ts'
import { seededRandom } from '../simulator/random.ts'

/** `figure`: what was counted and measured in this run. */
export interface Measured { ok: boolean, figure: string }

const short = (what: readonly string[], figure: string): Measured => ({ ok: what.length === 0, figure: what.length === 0 ? figure : `${figure}; ${[...new Set(what)].join('; ')}` })
const count = (n: number, what: string): string => `${n.toLocaleString('en')} ${what}`

/** Membership as it ships, in a simulated mesh. */
export async function town (runs: number, minutes: number): Promise<Measured & { evicted: string, invited: string }> {
  const sum = { tickets: 0, shown: 0, evictions: 0, crashes: 0, restores: 0 }
  const violations: string[] = []
  for (let seed = 1; seed <= runs; seed++) {
    const run = await new Town({ seed, steps: townPlan(seed, minutes), minutes }).run()
    for (const key of Object.keys(sum) as Array<keyof typeof sum>) sum[key] += run[key]
    violations.push(...run.violations.map(what => `seed ${seed}: ${what}`))
  }
  const lived = `${count(runs * minutes, 'simulated minutes')}, ${count(sum.crashes, 'kills')}, ${count(sum.restores, 'restores')}`
  const invited = `${count(sum.shown, 'devices')} showed ${count(sum.tickets, 'tickets')}`
  const evicted = `${count(sum.evictions, 'evictions')}`
  return { ...short(violations, lived), invited: `${invited} in ${lived}`, evicted: `${evicted} in ${lived}` }
}

/** Random histories of a mesh: each resolves to the same roster in any order of arrival, and a removed key is never a member. */
export function mergeOrders (histories: number): Measured {
  const random = seededRandom(20261201)
  const pick = (max: number): number => Math.floor(random() * max)
  const wrong: string[] = []
  let removals = 0
  for (let i = 0; i < histories; i++) {
    const book = historyOf(pick)
    const expected = plain(book, book.records)
    const shuffled = book.records.map(record => ({ record, key: random() })).sort((a, b) => a.key - b.key).map(({ record }) => record)
    if (plain(book, shuffled) !== expected) wrong.push(`history ${i}: two rosters`)
    const { members, revoked } = book.roster()
    removals += revoked.size
    if ([...revoked.keys()].some(device => members.has(device))) wrong.push(`history ${i}: a removed key is a member`)
  }
  return short(wrong, `${count(histories, 'histories')} in two orders, ${count(removals, 'removals')}`)
}

function historyOf (pick: (max: number) => number): MeshBook {
  const book = new MeshBook()
  for (const n of [1, 2, 3]) book.admit(0, n, n === 3 ? 'builder' : 'admin', `d${n}`)
  for (let left = 2 + pick(8); left > 0; left--) {
    const known = Math.max(4, book.records.length - Math.max(0, pick(8) - 4))
    const prev = new MembershipGraph(book.records.slice(0, known), book.mesh).heads()
    const [issuer, subject, act] = [pick(4), pick(4), pick(6)]
    if (act < 2) book.admit(issuer, subject, pick(2) === 0 ? 'builder' : 'admin', `d${subject}`, { prev })
    else if (act < 4) book.revoke(issuer, subject, { prev })
    else if (act === 4) book.write(issuer, { type: 'addAdmin', subject: idOf(subject) }, { prev })
    else book.leave(issuer, { prev })
  }
  return book
}

function plain (book: MeshBook, records: MemberRecord[]): string {
  const { members, revoked, lost } = book.roster(records)
  return JSON.stringify([[...members], [...revoked.keys()], [...lost]])
}

/** Every decoder that bytes from outside reach. */
export function fuzz (inputsPerDecoder: number, { slowestMsMax, grownBytesMax }: { slowestMsMax: number, grownBytesMax: number }): Measured {
  const random = seededRandom(Date.now() >>> 0)
  const before = process.memoryUsage().rss
  const wrong: string[] = []
  let slowestMs = 0
  for (const target of TARGETS) {
    for (let i = 0; i < inputsPerDecoder; i++) {
      const bytes = input(random, target.samples)
      const fromMs = process.cpuUsage()
      const what = outcome(target, bytes)
      const { user } = process.cpuUsage(fromMs)
      slowestMs = Math.max(slowestMs, user / 1_000)
      if (what !== 'read' && what !== 'refused') wrong.push(`${target.name}: ${what.slice(0, 200)}`)
    }
  }
  const grown = process.memoryUsage().rss - before
  if (slowestMs > slowestMsMax) wrong.push(`an input took ${slowestMs.toFixed(0)} ms`)
  if (grown > grownBytesMax) wrong.push(`${Math.round(grown / 1e6)} MB more`)
  return short(wrong, `${count(TARGETS.length * inputsPerDecoder, 'inputs')} to ${TARGETS.length} decoders, slowest ${slowestMs.toFixed(1)} ms of CPU`)
}

/** Builds as they ship, and the machines of their leases. */
export async function builds (runs: number, minutes: number, leaseHours: number): Promise<Measured> {
  const violations: string[] = []
  const sum = { builds: 0, crashes: 0, moved: 0 }
  for (let seed = 1; seed <= runs; seed++) {
    const run = await new Yard({ seed, steps: farmPlan(seed, { minutes }), minutes }).run()
    for (const key of Object.keys(sum) as Array<keyof typeof sum>) sum[key] += run[key]
    violations.push(...run.violations.map(what => `seed ${seed}: ${what}`))
  }
  for (let seed = 1; seed <= leaseHours; seed++) {
    const run = new LeaseFarm({ seed, hours: 1 }).run()
    sum.builds += run.builds
    sum.crashes += run.crashes
    violations.push(...run.violations.map(what => `lease seed ${seed}: ${what}`))
  }
  return short(violations, `${count(sum.builds, 'builds')} in ${count(runs * minutes, 'minutes')} of services and ${count(leaseHours, 'hours')} of machines, ${count(sum.crashes, 'kills')}, ${count(sum.moved, 'moves')}`)
}

const CHILD = join(import.meta.dirname, '../../packages/crdt-stack/test/fs-child.ts')

/** A process that writes notes is killed again and again; whatever it said was written must be there at its next start. */
export async function logKills (kills: number): Promise<Measured> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-prove-'))
  const wrong: string[] = []
  let acked = 0
  try {
    for (let i = 0; i <= kills; i++) {
      const { found, written } = await lifeOf(dir, i === kills ? 0 : 3 + (i * 37) % 90)
      if (found < acked) wrong.push(`start ${i} found ${found} of ${acked} acknowledged notes`)
      acked = Math.max(acked, found) + written
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  return short(wrong, `${count(kills, 'SIGKILLs')} while ${count(acked, 'notes')} were written`)
}

/** Kills it so long after its first acknowledgement; `found`: what it read at its start. */
async function lifeOf (dir: string, afterMs: number): Promise<{ found: number, written: number }> {
  const child = spawn(process.execPath, ['--conditions=elder-source', CHILD, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let found = -1
  let written = 0
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('ready')) found = Number(line.split(' ')[1])
    if (line.startsWith('ack') && written++ === 0) setTimeout(() => { child.kill('SIGKILL') }, afterMs)
  }
  await exited
  return { found, written }
}
