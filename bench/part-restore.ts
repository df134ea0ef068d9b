/** The memory comes back from a git remote alone; beside it a plain clone of the same repository. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveGit } from '@elder-node/crdt-stack/git'
import type { Form } from './form.ts'
import { Lab, type Device } from './lab.ts'
import type { Report } from './report.ts'

export async function measureRestore (report: Report, { device }: Form, { entries }: { entries: number }): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-bench-git-'))
  const server = await serveGit({ root: dir })
  const labs = [new Lab({ device, engine: 'noop', slots: () => 0 }), new Lab({ device, engine: 'noop', slots: () => 0 })] as const
  try {
    const url = await server.create('memory.git')
    const [writer] = await labs[0].grow(1) as [Device]
    const from = performance.now()
    await writer.ask({ do: 'fill', stack: 'bench', count: entries }, 600_000)
    report.add({ id: 'write-rate', what: `entries written one after the other, each on disk (fsync) before it counts`, unit: '1/s', devices: 1, ours: [entries / (performance.now() - from) * 1000] })
    const pushing = performance.now()
    await writer.ask({ do: 'mirror', stack: 'bench', url }, 600_000)
    report.add({ id: 'first-push', what: `first mirror of ${entries} entries to an HTTP remote`, unit: 'ms', devices: 1, ours: [performance.now() - pushing] })
    const cloneMs = await clone(url, join(dir, 'clone'))
    const [fresh] = await labs[1].grow(1) as [Device]
    const { ms } = await fresh.ask({ do: 'restore', url }, 600_000)
    const digests = await Promise.all([writer, fresh].map(device => device.ask({ do: 'digest', stack: 'bench' })))
    if (digests[0]?.['digest'] !== digests[1]?.['digest'] || digests[0]?.['digest'] === undefined) throw new Error(`the digests differ: ${JSON.stringify(digests)}`)
    report.add({ id: 'restore', what: `restore of ${entries} entries, digest equal`, unit: 'ms', devices: 1, ours: [ms as number], peers: { 'git clone': [cloneMs] }, target: '<= 3x git clone' })
  } finally {
    await Promise.all(labs.map(lab => lab.close()))
    await server.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Not execFileSync: the server of the remote lives in this process. */
async function clone (url: string, to: string): Promise<number> {
  execFileSync('git', ['--version'], { stdio: 'ignore' })
  const from = performance.now()
  const code = await new Promise(resolve => { spawn('git', ['clone', '-q', url, to], { stdio: 'ignore' }).once('exit', resolve) })
  if (code !== 0) throw new Error(`git clone ended with ${String(code)}`)
  return performance.now() - from
}
