import { ElderError } from '@elder-node/protocol'
import type { Engine, EngineName } from '../ports/engine.ts'
import { ProcessEngine, type ProcessEngineInit } from './engine-process/engine.ts'

/** What the owner may ask for: `--engine`. */
export type EngineChoice = 'auto' | 'none' | EngineName

/** The engine that runs here, checked; `note` says which and why, for `status`, `doctor` and the log. */
export interface SelectedEngine { engine?: Engine, note: string }

/**
 * Selects by the owner's word; never a silent fallback to less isolation.
 *
 * @throws ElderError `NOT_IN_THIS_VERSION` for docker, podman and sandbox; `ENGINE_UNAVAILABLE` when the chosen one cannot run here.
 */
export async function selectEngine (choice: EngineChoice, init: ProcessEngineInit): Promise<SelectedEngine> {
  if (choice === 'none') return { note: 'no engine: this device was told to run no builds' }
  if (choice === 'auto') {
    return { note: 'no engine: this version has neither Docker, Podman nor sandbox yet, and process (no isolation) is only used when its owner says --engine process' }
  }
  if (choice !== 'process') throw new ElderError('NOT_IN_THIS_VERSION', `the engine "${choice}" is not in this version`, 'Use --engine process (no isolation), or --engine none.')
  const engine = new ProcessEngine(init)
  await engine.check()
  return { engine, note: engine.description }
}
