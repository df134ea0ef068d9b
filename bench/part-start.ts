/** One device alone: the command line, the way to ready, what it weighs. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Form } from './form.ts'
import { cpuMsOf, rssOf } from './proc.ts'
import type { Report } from './report.ts'

export async function measureStart (report: Report, { bin }: Form, { times }: { times: number }): Promise<void> {
  const runs = Array.from({ length: times })
  report.add({
    id: 'cli', what: 'CLI start-up (`--help`)', unit: 'ms', devices: 1, target: 'bare Node + little',
    ours: runs.map(() => wallMs(process.execPath, [bin, '--help'])), peers: { '`node -e 0`': runs.map(() => wallMs(process.execPath, ['-e', '0'])) },
  })
  const ready: number[] = []
  const rss: number[] = []
  const cpu: number[] = []
  for (const _ of runs) {
    const figures = await startOnce(bin)
    ready.push(figures.readyMs)
    rss.push(figures.rssBytes / 1e6)
    cpu.push(figures.cpuMs)
  }
  report.add({ id: 'ready', what: 'start to ready (process begun to "ready", new mesh)', unit: 'ms', devices: 1, ours: ready, target: '< 1500' })
  report.add({ id: 'ready-cpu', what: 'CPU time of that start', unit: 'ms', devices: 1, ours: cpu })
  report.add({ id: 'rss-ready', what: 'RSS at ready, alone', unit: 'MB', devices: 1, ours: rss, target: '<= 130' })
}

/** One node of a new mesh, from the start of its process to ready. */
export async function startOnce (bin: string): Promise<{ readyMs: number, rssBytes: number, cpuMs: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-bench-'))
  const from = performance.now()
  const child = spawn(process.execPath, [bin, 'join', '--json', '--dir', dir, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--engine', 'none'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    for await (const line of createInterface({ input: child.stdout })) if (line.includes('"ready"')) break
    return { readyMs: performance.now() - from, rssBytes: rssOf(child.pid as number), cpuMs: cpuMsOf(child.pid as number) }
  } finally {
    child.kill('SIGTERM')
    await new Promise(resolve => { child.once('exit', resolve) })
    rmSync(dir, { recursive: true, force: true })
  }
}

export function wallMs (command: string, args: string[]): number {
  const from = performance.now()
  execFileSync(command, args, { stdio: 'ignore' })
  return performance.now() - from
}
