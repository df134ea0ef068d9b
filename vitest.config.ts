import { env } from 'node:process'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { mutants } from './test/simulator/mutant.ts'

/** What V8 made of a module is kept: two hundred workers and children begin with the same ones, and a child that runs sources has their types stripped once. */
env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.compile-cache', import.meta.url))

/** Tests run the sources: this key, and no other, reaches vitest's resolver. */
const conditions = ['elder-source', 'module-sync', 'node', 'import', 'default']
/**
 * Pure logic, adapters and services: as many at a time as keep two cores busy. The time-out is for a test that hangs, not for a busy machine.
 * One worker runs many files: none mocks a module, and each puts timers, spies and variables back (it passes in any order of files:
 * `--sequence.shuffle.files`), so a process for each would only read the same modules a hundred times.
 */
const unit = (name: string, root: string, include = ['test/**/*.test.ts'], plugins: object[] = []): object => ({ extends: true, plugins, test: { name, root, include, testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 3, isolate: false } })
/** Real processes and networks: when the units are done. */
const process = (name: string, include: string[], groupOrder: number, more: object = {}): object => ({
  extends: true, test: { name, root: '.', include, testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 2, sequence: { groupOrder }, ...more },
})

export default defineConfig({
  ssr: { resolve: { conditions } },
  test: {
    projects: [
      unit('protocol', 'packages/protocol'),
      unit('crdt-stack', 'packages/crdt-stack'),
      unit('node', 'packages/node'),
      unit('repository', '.', ['test/simulator/**/*.test.ts', 'test/exports.test.ts', 'test/prove.test.ts', 'test/walks.test.ts', 'test/reference.test.ts', 'test/error-catalogue.test.ts', 'test/alone.test.ts', 'test/git-runner.test.ts'], [mutants()]),
      // The program as it is bundled from the sources, at half the cost of dist: no `tsc -b` comes before. They wait more than they compute.
      process('scenarios', ['test/scenarios/**/*.test.ts', 'test/readme.test.ts', 'test/examples.test.ts'], 1, { globalSetup: ['test/support/program.ts'], maxWorkers: 3 }),
      // Not part of `npm test`, each a step of .ci/run: homes behind routers; container engines that it starts first; the command line as promised;
      // every command of the docs; the benchmark.
      process('networks', ['test/networks/**/*.test.ts'], 2),
      process('engines', ['test/engines/**/*.test.ts'], 2),
      process('contract', ['test/contract/**/*.test.ts'], 2),
      process('docs', ['test/docs/**/*.test.ts'], 2),
      process('bench', ['test/bench.test.ts'], 2),
    ],
  },
})
