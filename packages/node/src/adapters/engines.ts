import { join } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Engine, EngineChoice, EngineName } from '../ports/engine.ts'
import { ContainerEngine } from './engine-container/engine.ts'
import { ProcessEngine, type ProcessEngineInit } from './engine-process/engine.ts'
import { SandboxEngine } from './engine-sandbox/engine.ts'
import { isVisible } from './engine-sandbox/plan.ts'
import { BuildEnvironment } from './environment.ts'

export interface EngineInit extends ProcessEngineInit {
  /** Docker's or Podman's Unix socket. @default DOCKER_HOST or CONTAINER_HOST, else the well-known ones */
  socket?: string
  /** The image of builds that name none. @default elder-node/default */
  image?: string
  /** Network of builds that are not sealed, as Docker or Podman name it. @default the engine's own */
  network?: string
  /** More of the owner's variables that every build gets. */
  pass?: string[]
}

/** The engine that runs here, checked; `note` says which and why, for `status`, `doctor` and the log. */
export interface SelectedEngine {
  engine?: Engine
  note: () => string
  /** Builds run as this node's own user, with everything that it may read. */
  asNode: boolean
  /** The whole environment of a build, besides HOME and TMPDIR, given what its requester asked to pass. */
  environment: (requested: Record<string, string>) => Promise<Record<string, string>>
  /** Gives back what the engine took from this machine. After the last build. */
  close: () => Promise<void>
}

/** An engine of this package: it has a folder in which files for builds can lie. */
type OwnEngine = Engine & { close: () => Promise<void>, root: () => Promise<string> }
interface Kind { make: (init: EngineInit) => OwnEngine, images?: boolean, isolates?: false, sees?: (path: string) => boolean, separateUsers: (engine: OwnEngine) => Promise<boolean> }

const container = (name: 'docker' | 'podman'): Kind => ({ make: init => new ContainerEngine({ ...init, name }), images: true, separateUsers: async () => true })

const KINDS: Record<EngineName, Kind> = {
  docker: container('docker'),
  podman: container('podman'),
  sandbox: { make: init => new SandboxEngine(init), sees: isVisible, separateUsers: async () => false },
  process: { make: init => new ProcessEngine(init), isolates: false, separateUsers: engine => (engine as ProcessEngine).separateUsers() },
}

/** In this order; `process` has no isolation and is only ever used when its owner says so. */
const AUTO: EngineName[] = ['docker', 'podman', 'sandbox']
const PROCESS_HINT = 'process (no isolation) is only used when its owner says --engine process'
const NO_BUILDS: Pick<SelectedEngine, 'environment' | 'close' | 'asNode'> = { asNode: false, environment: async requested => requested, close: async () => {} }

/**
 * Selects by the owner's word; never a silent fallback to less isolation. An engine of the embedding program is taken as it is.
 *
 * @throws ElderError `ENGINE_UNAVAILABLE` when the chosen one cannot run here.
 */
export async function openEngine (choice: EngineChoice | Engine, init: EngineInit): Promise<SelectedEngine> {
  if (choice === 'none') return { note: () => 'no engine: this device was told to run no builds', ...NO_BUILDS }
  if (choice === 'auto') return await openFirst(init)
  return typeof choice === 'string' ? await openKind(choice, init) : await openGiven(choice)
}

/** The first that can run here; why the ones before it cannot is said with it. */
async function openFirst (init: EngineInit): Promise<SelectedEngine> {
  const reasons: string[] = []
  for (const name of AUTO) {
    try {
      const selected = await openKind(name, init)
      return { ...selected, note: reasons.length === 0 ? selected.note : () => `${selected.note()} (not ${reasons.join('; not ')})` }
    } catch (error) {
      if (!(error instanceof ElderError)) throw error
      reasons.push(error.message.startsWith(name) ? error.message : `${name}: ${error.message}`)
    }
  }
  return { note: () => `no engine: ${reasons.join('; ')}; ${PROCESS_HINT}`, ...NO_BUILDS }
}

async function openKind (name: EngineName, init: EngineInit): Promise<SelectedEngine> {
  const kind = KINDS[name]
  const engine = kind.make(init)
  await engine.check()
  const separateUsers = await kind.separateUsers(engine)
  const environment = new BuildEnvironment({
    dir: join(await engine.root(), 'environment'), separateUsers,
    ...(kind.images === undefined ? {} : { images: kind.images }), ...(kind.sees === undefined ? {} : { sees: kind.sees }), ...(init.pass === undefined ? {} : { pass: init.pass }),
  })
  const close = async (): Promise<void> => {
    await environment.close()
    await engine.close()
  }
  const asNode = kind.isolates === false && !separateUsers
  return { engine, note: () => engine.description, asNode, environment: requested => environment.build(requested), close }
}

async function openGiven (engine: Engine): Promise<SelectedEngine> {
  await engine.check()
  const { PATH = '/usr/local/bin:/usr/bin:/bin' } = process.env
  return { engine, note: () => engine.description, asNode: false, environment: async requested => ({ PATH, ...requested }), close: async () => { await engine.close?.() } }
}
