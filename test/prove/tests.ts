/** Runs the test files of all rows in one vitest, and says of each test whether it held and how long it took. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

export interface Case { file: string, name: string, ok: boolean, skipped: boolean, ms: number }

const root = join(import.meta.dirname, '../..')
interface Report { testResults: Array<{ name: string, assertionResults: Array<{ fullName: string, status: string, duration?: number | null }> }> }

export async function runTests (files: readonly string[]): Promise<Case[]> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-prove-'))
  const report = join(dir, 'report.json')
  const projects = ['protocol', 'crdt-stack', 'node', 'engines'].flatMap(name => ['--project', name])
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  try {
    const child = spawn(process.execPath, [vitest, 'run', ...projects, '--reporter=json', `--outputFile=${report}`, ...files], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
    await once(child, 'exit')
    return casesOf(JSON.parse(readFileSync(report, 'utf8')) as Report)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function casesOf ({ testResults }: Report): Case[] {
  return testResults.flatMap(({ name, assertionResults }) => assertionResults.map(({ fullName, status, duration }) => ({
    file: relative(root, name), name: fullName, ok: status === 'passed', skipped: status !== 'passed' && status !== 'failed', ms: duration ?? 0,
  })))
}
