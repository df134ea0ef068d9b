/** The part of the hostile suite that is quick enough for every run; all of it, on every engine, is test/engines/hostile.test.ts. */
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, test } from 'vitest'
import { processAsRoot } from './engine/hostile-process.ts'
import { SECRET } from './engine/hostile.ts'
import { needs } from './support/when.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-hostile-'))
await chmod(base, 0o711)
await writeFile(join(base, 'key'), SECRET, { mode: 0o600 })
afterAll(() => { rmSync(base, { recursive: true, force: true }) })

if (needs(process.platform === 'linux' && process.getuid?.() === 0, 'root on Linux')) await processAsRoot(base, 'part')
else describe.skip('hostile builds: process, root', () => { test('needs root on Linux', () => undefined) })
