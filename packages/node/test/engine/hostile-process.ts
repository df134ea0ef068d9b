/** The process engine as root, against hostile builds. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findControllers } from '../../src/adapters/engine-process/cgroup.ts'
import { ProcessEngine } from '../../src/adapters/engine-process/engine.ts'
import { hostileBuilds, type HostileOptions } from './hostile.ts'

/** Every process whose environment holds the marker. */
export async function survivors (marker: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async pid => (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(marker) ? Number(pid) : 0))
  return found.filter(pid => pid > 0)
}

/** @param base - Folder with the owner's file `key`, that build users can traverse. */
export async function processAsRoot (base: string, extent: HostileOptions['extent']): Promise<void> {
  const names = (await findControllers('elder-node-hostile')).map(({ name }) => name)
  const has = (name: 'memory' | 'pids'): true | string => names.includes(name) || `no usable ${name} cgroup here`
  hostileBuilds(`process, root (${extent})`, {
    make: async () => new ProcessEngine({ dataDir: join(base, 'data'), root: join(base, `root-${extent}`) }),
    close: async engine => { await engine.close?.() },
    survivors, limits: { memory: has('memory'), pids: has('pids'), disk: true }, keyFile: join(base, 'key'), extent,
    lets: {
      userNamespace: 'the process engine filters no system calls', keyring: 'the process engine filters no system calls', bpf: 'where the kernel lets ordinary users',
    },
  })
}
