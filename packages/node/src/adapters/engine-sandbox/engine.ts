/** The `sandbox` engine: builds in namespaces of their own, made by bubblewrap. For ordinary users only; nothing of it runs as root. */
import { mkdir } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { CagedEngine, type Opened } from '../engine-process/caged-engine.ts'
import { openRoot, rootName } from '../engine-common/root.ts'
import { xdgDir } from '../xdg.ts'
import { BwrapCage } from './bwrap-cage.ts'
import { unavailable } from './probe.ts'

export interface SandboxEngineInit {
  /** The node's data directory: names the engine's own folder. Nothing is written there. */
  dataDir: string
  /** Where trees live. @default elder-node/<hash of dataDir> in $XDG_CACHE_HOME or ~/.cache */
  root?: string
  /** False: no limits by cgroup. @default true, where this user has cgroups of its own */
  cgroups?: boolean
}

export class SandboxEngine extends CagedEngine {
  constructor (init: SandboxEngineInit) {
    super({ name: 'sandbox', title: 'sandbox', ownsRoot: init.root === undefined, open: () => open(init) })
  }
}

async function open (init: SandboxEngineInit): Promise<Opened> {
  if (platform() !== 'linux') throw unavailable('the sandbox engine needs Linux: bubblewrap is made of its namespaces', 'Use --engine docker.')
  if (process.getuid?.() === 0) throw unavailable('the sandbox engine never runs as root: in a user namespace of root\'s a build would own root\'s files', 'Run the node as an ordinary user, or use --engine docker.')
  const root = await openRoot(init.dataDir, init.root ?? await ownRoot(init.dataDir))
  return { root, cage: await BwrapCage.open(root, `elder-node-${rootName(root)}`, { ...init, hide: [init.dataDir] }) }
}

/** On a disk: the temporary folder is memory on many machines. */
async function ownRoot (dataDir: string): Promise<string> {
  const parent = join(xdgDir('XDG_CACHE_HOME', process.env), 'elder-node')
  await mkdir(parent, { recursive: true, mode: 0o700 }).catch(() => undefined)
  return join(parent, rootName(dataDir))
}
