import { defineConfig } from 'vitest/config'

/** Tests run the sources: this key, and no other, reaches vitest's resolver. */
const conditions = ['elder-source', 'module-sync', 'node', 'import', 'default']
const project = (name: string, root: string): object => ({ extends: true, test: { name, root, include: ['test/**/*.test.ts'] } })

export default defineConfig({
  ssr: { resolve: { conditions } },
  test: {
    projects: [
      project('protocol', 'packages/protocol'),
      project('crdt-stack', 'packages/crdt-stack'),
      project('node', 'packages/node'),
      // Real processes wait more than they compute: one file beside another, when the other projects are done.
      { extends: true, test: { name: 'scenarios', root: '.', include: ['test/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000, maxWorkers: 2, sequence: { groupOrder: 1 } } },
    ],
  },
})
