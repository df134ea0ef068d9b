/**
 * The multi-device benchmark: real processes on loopback, ours and the peer's figures from one run.
 *
 *     npm run -s bench                      # 3 and 8 devices: table on stderr, JSON on stdout
 *     npm run -s bench -- --devices 3       # one size
 *     npm run -s bench -- --part builds     # one part: start, headless, mesh, builds, restore, requests
 *     npm run -s bench -- --quick           # 3 devices, few repetitions, under half a minute
 *     npm run -s bench -- --save            # also writes results/<date>.json and .md
 *     npm run -s bench -- --form dist       # what tsc made instead of what is published (bundled when it is older than the sources)
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { distForm, publishedForm } from './form.ts'
import { Lab } from './lab.ts'
import { measureBuilds, measureEditedSource, measureMove, measureNoop, slotsFor } from './part-builds.ts'
import { measureHeadless } from './part-headless.ts'
import { measureAdverts, measureEdits, measureIdle, measureJoin, measureLoss, measureRtt } from './part-mesh.ts'
import { measureRequests } from './part-requests.ts'
import { measureRestore } from './part-restore.ts'
import { measureStart } from './part-start.ts'
import { markdown, Report } from './report.ts'
import { isInstalled, measureSerf } from './serf.ts'

const FULL = { starts: 7, sizes: [3, 8], events: 10, adverts: 10, notes: 100, idleMs: 10_000, single: 40, many: 120, edits: 10, entries: 10_000, requests: 4_000, peers: 10, headlessEntries: 10_000, headlessBuilds: 20, idleTicksMs: 120_000 }
type Counts = typeof FULL
const QUICK: Counts = { starts: 2, sizes: [3], events: 2, adverts: 2, notes: 6, idleMs: 1_000, single: 3, many: 16, edits: 1, entries: 30, requests: 200, peers: 2, headlessEntries: 30, headlessBuilds: 1, idleTicksMs: 3_000 }

/** As little as shows that every part works: for the test. Peers included, when they are there. */
const SMOKE: Counts = { starts: 1, sizes: [2], events: 1, adverts: 1, notes: 1, idleMs: 100, single: 1, many: 1, edits: 1, entries: 2, requests: 20, peers: 1, headlessEntries: 2, headlessBuilds: 1, idleTicksMs: 100 }

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean' }, smoke: { type: 'boolean' }, devices: { type: 'string', multiple: true }, part: { type: 'string', multiple: true }, save: { type: 'boolean' }, form: { type: 'string' } } })
const mode = flags.smoke === true ? 'smoke' : flags.quick === true ? 'quick' : 'full'
const counts = { smoke: SMOKE, quick: QUICK, full: FULL }[mode]
const sizes = flags.devices?.map(Number) ?? counts.sizes
const PARTS = ['start', 'headless', 'mesh', 'builds', 'restore', 'requests']
const unknown = flags.part?.find(part => !PARTS.includes(part))
if (unknown !== undefined) {
  process.stderr.write(`there is no part ${unknown}: ${PARTS.join(', ')}\n`)
  process.exit(2)
}
const wanted = (part: string): boolean => flags.part === undefined || flags.part.includes(part)
const report = new Report(text => { process.stderr.write(`${text}\n`) })
// The smoke test looks whether the harness runs, not at figures: no bundling for it.
const form = (flags.form ?? (mode === 'smoke' ? 'dist' : 'published')) === 'dist' ? distForm() : publishedForm()

async function inLab (size: number, engine: 'process' | 'noop', work: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab({ device: form.device, engine, slots: i => i === 0 ? 0 : slotsFor(size) })
  try {
    await work(lab)
  } finally {
    await lab.close()
  }
}

async function mesh (size: number): Promise<void> {
  const serf = isInstalled('serf', ['version']) ? await measureSerf({ count: size, events: counts.events, idleMs: counts.idleMs, losses: mode === 'full' }) : undefined
  if (serf === undefined) report.missing.add('serf')
  await inLab(size, 'process', async lab => {
    await measureJoin(report, lab, size, serf)
    await measureRtt(report, lab)
    await measureAdverts(report, lab, counts.adverts, serf)
    await measureEdits(report, lab, counts.notes, serf)
    await measureIdle(report, lab, counts.idleMs, serf)
    if (mode === 'full') await measureLoss(report, lab, serf)
  })
}

async function builds (size: number): Promise<void> {
  await inLab(size, 'process', async lab => {
    await lab.grow(size)
    await measureBuilds(report, lab, counts)
    await measureEditedSource(report, lab, counts)
    if (mode === 'full') await measureMove(report, lab)
  })
  await inLab(size, 'noop', async lab => {
    await lab.grow(size)
    await measureNoop(report, lab, counts)
  })
}

// Peers of warm dispatch that a harness cannot set up by itself: they need a server that runs.
if (!isInstalled('docker', ['info'])) report.missing.add('docker exec')
if (!isInstalled('ssh', ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=2', '127.0.0.1', 'true'])) report.missing.add('ssh')

if (wanted('start')) await report.part('start', () => measureStart(report, form, { times: counts.starts }))
if (wanted('headless')) await report.part('headless', () => measureHeadless(report, form, counts))
if (wanted('requests')) await report.part('requests', () => measureRequests(report, { count: counts.requests }))
for (const size of sizes) {
  if (wanted('mesh')) await report.part(`mesh of ${size}`, () => mesh(size))
  if (wanted('builds')) await report.part(`builds on ${size}`, () => builds(size))
}
if (wanted('restore')) await report.part('restore', () => measureRestore(report, form, counts))

form.remove()
const found = report.end(mode, form.name)
const json = `${JSON.stringify(found, null, 2)}\n`
process.stderr.write(`\n${markdown(found)}`)
process.stdout.write(json)
if (flags.save === true) {
  const name = join(import.meta.dirname, 'results', [found.at.slice(0, 10), ...mode === 'full' ? [] : [mode], ...flags.part ?? []].join('-'))
  mkdirSync(join(name, '..'), { recursive: true })
  writeFileSync(`${name}.json`, json)
  writeFileSync(`${name}.md`, `# ${found.at.slice(0, 10)}\n\n${markdown(found)}`)
}
process.exitCode = found.failed.length > 0 ? 1 : 0
