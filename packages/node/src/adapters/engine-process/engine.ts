/**
 * The `process` engine: builds as plain processes of this machine. No isolation of network and files beyond the user's rights;
 * the owner's explicit opt-in.
 */
import { platform } from 'node:os'
import { ElderError } from '@elder-node/protocol'
import { CagedEngine, type Opened } from './caged-engine.ts'
import { GroupCage } from './group-cage.ts'
import { RootCage, type RootCageInit } from './root-cage.ts'
import { openRoot, rootName } from '../engine-common/root.ts'

export interface ProcessEngineInit extends RootCageInit {
  /** The node's data directory: names the engine's own folder. Nothing is written there. */
  dataDir: string
  /** Where trees live. As root every user must be able to traverse its parents. @default /var/lib/elder-node/<hash of dataDir> as root, else in the temporary folder or the user's cache */
  root?: string
  /** More folders that are no build's business: where the control socket is. @default none */
  hide?: string[]
}

export class ProcessEngine extends CagedEngine {
  constructor (init: ProcessEngineInit) {
    super({ name: 'process', title: 'process (not isolated)', ownsRoot: init.root === undefined, open: () => open(init) })
  }
}

async function open (init: ProcessEngineInit): Promise<Opened> {
  if (platform() === 'win32') throw new ElderError('ENGINE_UNAVAILABLE', 'the process engine does not run on Windows', 'Run the node inside WSL.')
  const root = await openRoot(init.dataDir, init.root)
  const separate = platform() === 'linux' && process.getuid?.() === 0
  const cage = separate ? await RootCage.open(root, `elder-node-${rootName(root)}`, init) : await GroupCage.open(root, [init.dataDir, ...init.hide ?? []])
  return { root, cage }
}
