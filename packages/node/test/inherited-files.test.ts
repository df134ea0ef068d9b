import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { findTool } from '../src/adapters/system-tools.ts'
import { eventually } from './support/eventually.ts'
import { needs } from './support/when.ts'

const dir = mkdtempSync(join(tmpdir(), 'elder-inherited-'))
afterAll(() => { rmSync(dir, { recursive: true, force: true }) })
const lock = join(dir, 'lock')
const [bash, flock] = [findTool('bash'), findTool('flock')]
const isFree = (): boolean => spawnSync(flock ?? '', ['-n', lock, 'true']).status === 0
const script = fileURLToPath(new URL('./inherited-files-child.ts', import.meta.url))

describe.runIf(needs(process.platform === 'linux' && bash !== undefined && flock !== undefined, 'Linux with bash and flock'))('files that a script left open for a node', () => {
  test('reach no program that the node starts, and what the script has locked stays locked while the node lives', async () => {
    writeFileSync(lock, '')
    const child = spawn(bash ?? '', ['-c', 'exec 9<"$1" 200<"$1" 201<"$1"; flock 200; shift; exec "$@"', 'bash', lock, process.execPath, '--conditions=elder-source', script], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      const [said] = await once(child.stdout, 'data') as [Buffer]
      expect(said.toString()).toBe('2 0\n')
      expect(isFree()).toBe(false)
    } finally {
      child.kill('SIGKILL')
    }
    await eventually(() => { expect(isFree()).toBe(true) })
  })
})
