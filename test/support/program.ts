/**
 * The program that the scenarios start: bundled from the sources of this moment, as it is published (tools/bundle.mjs), into a
 * folder of this run. A node of two dozen files starts in half the CPU time of one of a thousand, and the scenarios start a hundred.
 * Vitest runs this once, before the files of a project that names it; `programBin` is where the others look.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const PACKAGE = fileURLToPath(new URL('../../packages/node/', import.meta.url))

export async function setup (): Promise<() => void> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-program-'))
  const remove = (): void => { rmSync(dir, { recursive: true, force: true }) }
  // Sources that do not bundle leave nothing behind.
  await make(dir).catch((error: unknown) => { remove(); throw error })
  process.env['ELDER_TEST_BIN'] = join(dir, 'bin', 'elder-node.js')
  return remove
}

async function make (dir: string): Promise<void> {
  const build = await rolldown({ cwd: PACKAGE, platform: 'node', logLevel: 'warn', external: /^node:/, input: { cli: 'src/gateway/cli/start.ts' }, resolve: { conditionNames: ['elder-source', 'node', 'import', 'default'] } })
  await build.write({ dir: join(dir, 'lib'), format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js', comments: false })
  await build.close()
  for (const part of ['bin', 'images']) cpSync(join(PACKAGE, part), join(dir, part), { recursive: true })
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ ...manifest, imports: { '#cli': './lib/cli.js' } }))
}
