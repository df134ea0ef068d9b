import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Engine, EngineName } from '../ports/engine.ts'
import { BuildEnvironment } from './environment.ts'
import { ProcessEngine, type ProcessEngineInit } from './engine-process/engine.ts'

/** What the owner may ask for: `--engine`. */
export type EngineChoice = 'auto' | 'none' | EngineName

/** The engine that runs here, checked; `note` says which and why, for `status`, `doctor` and the log. */
export interface SelectedEngine {
  engine?: Engine
  note: string
  /** The whole environment of a build, besides HOME and TMPDIR, given what its requester asked to pass. */
  environment: (requested: Record<string, string>) => Promise<Record<string, string>>
  /** Gives back what the engine took from this machine. After the last build. */
  close: () => Promise<void>
}

const NO_BUILDS: Pick<SelectedEngine, 'environment' | 'close'> = { environment: async requested => requested, close: async () => {} }

/**
 * Selects by the owner's word; never a silent fallback to less isolation. An engine of the embedding program is taken as it is.
 *
 * @throws ElderError `NOT_IN_THIS_VERSION` for docker, podman and sandbox; `ENGINE_UNAVAILABLE` when the chosen one cannot run here.
 */
export async function openEngine (choice: EngineChoice | Engine, init: ProcessEngineInit): Promise<SelectedEngine> {
  if (choice === 'none') return { note: 'no engine: this device was told to run no builds', ...NO_BUILDS }
  if (choice === 'auto') {
    return { note: 'no engine: this version has neither Docker, Podman nor sandbox yet, and process (no isolation) is only used when its owner says --engine process', ...NO_BUILDS }
  }
  if (choice === 'process') return await openProcessEngine(new ProcessEngine(init))
  if (typeof choice === 'string') throw new ElderError('NOT_IN_THIS_VERSION', `the engine "${choice}" is not in this version`, 'Use --engine process (no isolation), or --engine none.')
  await choice.check()
  const { PATH = '/usr/local/bin:/usr/bin:/bin' } = process.env
  return { engine: choice, note: choice.description, environment: async requested => ({ PATH, ...requested }), close: async () => { await choice.close?.() } }
}

async function openProcessEngine (engine: ProcessEngine): Promise<SelectedEngine> {
  await engine.check()
  const environment = new BuildEnvironment({ dir: join(await engine.root(), 'environment'), separateUsers: await engine.separateUsers() })
  const close = async (): Promise<void> => {
    await environment.close()
    await engine.close()
  }
  return { engine, note: engine.description, environment: requested => environment.build(requested), close }
}
