/** examples/monitoring as Prometheus itself reads it, and what a real node says to it. */
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { needs } from '../../packages/node/test/support/when.ts'
import { Lab, must, project } from '../scenarios/support.ts'

const FOLDER = join(import.meta.dirname, '../../examples/monitoring')
const hasPromtool = spawnSync('promtool', ['--version']).status === 0
const promtool = async (...args: string[]): Promise<string> => (await promisify(execFile)('promtool', args, { cwd: FOLDER, timeout: 50_000 })).stdout

describe.runIf(needs(hasPromtool, 'promtool (Debian: apt-get install prometheus)'))('examples/monitoring', () => {
  test('the rules are rules', async () => { expect(await promtool('check', 'rules', 'alerts.yml')).toMatch(/SUCCESS: \d+ rules found/) })
  test('the configuration is one', async () => { expect(await promtool('check', 'config', 'prometheus.yml')).toContain('prometheus.yml is valid') })
  test('each rule fires when it should, and not before', async () => { expect(await promtool('test', 'rules', 'alerts.test.yml')).toContain('SUCCESS') })

  test('the metrics of a real node, with a build, a stack and a remote, are well formed', async () => {
    await using lab = new Lab()
    const node = await lab.join('alpha', { slots: 1 })
    await lab.run(node.dir, ['build', project(lab, 'p', { a: 'a' }), '--', 'true'])
    await node.note('repo', 'kept')
    await node.ask('stack', 'remote', 'add', 'repo', 'http://127.0.0.1:9/memory.git')
    const url = must((await node.status()).self.http ?? undefined, 'the node serves HTTP')
    const text = await (await fetch(`${url}/metrics`)).text()
    for (const name of ['elder_build_duration_seconds_bucket', 'elder_stack_git_push_timestamp_seconds', 'elder_builds_total', 'elder_alert']) expect(text).toContain(`\n${name}`)
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect([status, stdout + stderr]).toEqual([0, ''])
  })
})
