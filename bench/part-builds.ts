/** What a build costs besides the build. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BuildRequest } from 'elder-node'
import { measureDistcc } from './distcc.ts'
import type { Device, Lab } from './lab.ts'
import { lastAt } from './lab.ts'
import type { Report } from './report.ts'
import { isInstalled } from './serf.ts'
import { nowMs } from './stats.ts'

export interface BuildCounts { single: number, many: number, edits: number }
interface Built { moments: Record<string, number>, output: string, timings: Record<string, number>, builder: string }

const PARALLEL = 8

/** So many slots that the parallel builds all find one. */
export function slotsFor (size: number): number { return Math.ceil(PARALLEL / (size - 1)) }

async function inFolder<T> (files: Record<string, string>, work: (source: string) => Promise<T>): Promise<T> {
  const source = mkdtempSync(join(tmpdir(), 'elder-bench-src-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(source, path, '..'), { recursive: true })
      writeFileSync(join(source, path), text)
    }
    return await work(source)
  } finally {
    rmSync(source, { recursive: true, force: true })
  }
}

async function builds (laptop: Device, request: BuildRequest, times: number, parallel: number): Promise<{ ms: number, builds: Built[] }> {
  return await laptop.ask({ do: 'builds', request, times, parallel }) as unknown as { ms: number, builds: Built[] }
}

/** A few builds at once touch every builder: caches are there, histories have begun. */
async function warm (laptop: Device, request: BuildRequest, many: number): Promise<void> { await builds(laptop, request, Math.min(many, 2 * PARALLEL), PARALLEL) }

export async function measureBuilds (report: Report, lab: Lab, { single, many }: BuildCounts): Promise<void> {
  const devices = lab.devices.length
  const [laptop] = lab.devices as [Device]
  await inFolder({ 'in.txt': 'x\n' }, async source => {
    const request: BuildRequest = { source, command: ['date', '+%s.%N'], local: 'never' }
    await warm(laptop, request, many)
    const done = (await builds(laptop, request, single, 1)).builds
    const between = (from: string, to: string): number[] => done.map(({ moments }) => (moments[to] ?? Number.NaN) - (moments[from] ?? Number.NaN))
    report.add({ id: 'claim', what: 'claim: source known, elected, until the slot is granted', unit: 'ms', devices, ours: between('queued', 'elected'), target: '1.5 RTT + 5' })
    const dispatch = done.map(({ moments, output }) => Number(output) * 1000 - (moments['requested'] ?? Number.NaN))
    const floor = done.map(() => {
      const from = nowMs()
      return Number(execFileSync('date', ['+%s.%N'], { encoding: 'utf8' })) * 1000 - from
    })
    report.add({ id: 'dispatch', what: 'warm dispatch: request to process started (process engine)', unit: 'ms', devices, ours: dispatch, peers: { 'spawn, no mesh': floor }, target: 'engine + 30; < ssh' })
    report.add({ id: 'dispatch-snapshot', what: 'of that, the snapshot of the source', unit: 'ms', devices, ours: between('requested', 'snapshot') })
    report.add({ id: 'dispatch-source', what: 'of that, grant to tree checked out on the builder', unit: 'ms', devices, ours: between('elected', 'running') })
    report.add({ id: 'empty-build', what: 'empty build, request to result', unit: 'ms', devices, ours: between('requested', 'result') })
    const { ms } = await builds(laptop, { ...request, command: ['true'] }, many, PARALLEL)
    report.add({ id: 'empty-rate', what: `empty builds (\`true\`), process engine, ${PARALLEL} in parallel`, unit: '1/s', devices, ours: [many / ms * 1000] })
  })
  await measureCompiles(report, lab, many)
}

async function measureCompiles (report: Report, lab: Lab, many: number): Promise<void> {
  const devices = lab.devices.length
  if (!isInstalled('gcc', ['--version'])) return void report.missing.add('gcc')
  const peers: Record<string, number[]> = {}
  if (isInstalled('distccd', ['--version'])) {
    const { remotePerS, localPerS } = await measureDistcc({ hosts: devices - 1, slotsPerHost: slotsFor(devices), jobs: many, parallel: PARALLEL })
    Object.assign(peers, { distcc: [remotePerS], 'gcc here': [localPerS] })
  } else {
    report.missing.add('distcc')
  }
  await inFolder({ 'x.c': 'int x;\n' }, async source => {
    const request: BuildRequest = { source, command: ['gcc', '-c', 'x.c', '-o', 'x.o'], outputs: ['x.o'], to: join(source, 'out'), local: 'never' }
    writeFileSync(join(source, '.gitignore'), 'out/\n')
    const [laptop] = lab.devices as [Device]
    await warm(laptop, request, many)
    const { ms } = await builds(laptop, request, many, PARALLEL)
    report.add({ id: 'compile-rate', what: `\`gcc -c\` of \`int x;\`, object returned, process engine, ${PARALLEL} in parallel`, unit: '1/s', devices, ours: [many / ms * 1000], peers, target: '>= distcc' })
  })
}

/** In a lab whose engine starts nothing. */
export async function measureNoop (report: Report, lab: Lab, { many }: BuildCounts): Promise<void> {
  await inFolder({ 'in.txt': 'x\n' }, async source => {
    const [laptop] = lab.devices as [Device]
    const request: BuildRequest = { source, command: ['true'], local: 'never' }
    await warm(laptop, request, many)
    const { ms } = await builds(laptop, request, many, PARALLEL)
    report.add({ id: 'noop-rate', what: `empty builds, no-op engine, ${PARALLEL} in parallel`, unit: '1/s', devices: lab.devices.length, ours: [many / ms * 1000], target: '>= 50' })
  })
}

/** A tree of 400 files; the builder has it, two of them change. */
export async function measureEditedSource (report: Report, lab: Lab, { edits }: BuildCounts): Promise<void> {
  const devices = lab.devices.length
  const [laptop, builder] = lab.devices as [Device, Device]
  const text = (i: number): string => Array.from({ length: 300 }, (_, line) => `export const value${i}_${line} = ${(i * 7919 + line * 104_729) % 1_000_003}\n`).join('')
  const files = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`src/part${i % 20}/file${i}.ts`, text(i)]))
  await inFolder(files, async source => {
    const git = (...args: string[]): void => { execFileSync('git', ['-C', source, '-c', 'user.name=bench', '-c', 'user.email=bench@elder-node.invalid', ...args], { stdio: 'ignore' }) }
    git('init', '-q')
    git('add', '.')
    git('commit', '-qm', 'all')
    const request: BuildRequest = { source, command: ['true'], on: builder.name }
    await builds(laptop, request, 2, 1)
    const bytes: number[] = []
    const transferMs: number[] = []
    const totalMs: number[] = []
    for (let k = 0; k < edits; k++) {
      for (const i of [2 * k, 2 * k + 1]) writeFileSync(join(source, `src/part${i % 20}/file${i}.ts`), `${text(i)}// edit ${k}\n`)
      const sent = async (): Promise<number> => (await laptop.ask({ do: 'usage' }))['sentBytes'] as number
      const before = await sent()
      const [built] = (await builds(laptop, request, 1, 1)).builds
      bytes.push(await sent() - before)
      transferMs.push(built?.timings['sourceMs'] ?? Number.NaN)
      totalMs.push((built?.moments['running'] ?? Number.NaN) - (built?.moments['requested'] ?? Number.NaN))
    }
    const tar = execFileSync('sh', ['-c', `tar -C '${source}' --exclude=.git -cz . | wc -c`], { encoding: 'utf8' })
    report.add({ id: 'edited-bytes', what: 'two of 400 files edited, warm builder: all bytes the requester sends for that build', unit: 'B', devices, ours: bytes, peers: { 'tar.gz of the tree': [Number(tar)] }, target: '< 2000 of source' })
    report.add({ id: 'edited-source', what: 'the same: source asked for to source there', unit: 'ms', devices, ours: transferMs, target: '< 100 + 2 RTT' })
    report.add({ id: 'edited-total', what: 'the same: request to tree checked out (snapshot, election, transfer, checkout)', unit: 'ms', devices, ours: totalMs })
  })
}

/** A builder freezes in the middle of a build, then another is killed. */
export async function measureMove (report: Report, lab: Lab): Promise<void> {
  const devices = lab.devices.length
  await inFolder({ 'in.txt': 'x\n' }, async source => {
    const silence = await moved(lab, source, 'SIGSTOP')
    silence.victim.kill('SIGCONT')
    await lastAt(lab.devices, { do: 'online', count: devices })
    await lastAt(lab.devices, { do: 'idle' })
    const reset = await moved(lab, source, 'SIGKILL')
    await lab.drop(reset.victim)
    report.add({ id: 'move-reset', what: 'builder killed in mid-build: to the command running elsewhere', unit: 'ms', devices, ours: [reset.ms], target: '< 1000' })
    report.add({ id: 'move-silence', what: 'builder frozen in mid-build: to the command running elsewhere', unit: 'ms', devices, ours: [silence.ms], target: '< 8000' })
  })
}

async function moved (lab: Lab, source: string, signal: 'SIGSTOP' | 'SIGKILL'): Promise<{ victim: Device, ms: number }> {
  const [laptop] = lab.devices as [Device]
  await laptop.ask({ do: 'begin', request: { source, command: ['sh', '-c', 'echo began; sleep 1'], local: 'never' } })
  const { builder } = await laptop.ask({ do: 'event', event: 'elected', nth: 1 })
  await laptop.ask({ do: 'event', event: 'log', text: 'began', nth: 1 })
  const victim = lab.devices.find(device => device.name === builder) as Device
  const from = nowMs()
  victim.kill(signal)
  const { at } = await laptop.ask({ do: 'event', event: 'log', text: 'began', nth: 2 })
  await laptop.ask({ do: 'event', event: 'result', nth: 1 })
  return { victim, ms: at - from }
}
