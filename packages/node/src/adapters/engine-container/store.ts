/** Images of this machine's Docker or Podman, without a node: what `elder-node image` works on. */
import { readFile } from 'node:fs/promises'
import { ElderError } from '@elder-node/protocol'
import { packageRoot } from '../../package-root.ts'
import { buildImage, DEFAULT_IMAGE, listImages, type ImageInfo } from './images.ts'
import { findDaemon, socketCandidates, type ContainerEngineName } from './sockets.ts'

export type { ImageInfo } from './images.ts'

export interface ImageStore {
  engine: ContainerEngineName
  list: () => Promise<ImageInfo[]>
  /** The image of this package's recipe. Yields what the daemon prints. */
  build: (options: { base?: string, tag?: string, signal: AbortSignal }) => AsyncGenerator<string, ImageInfo>
}

const RECIPE = new URL('images/default/Dockerfile', packageRoot)

/** @param choice - `auto`: Docker, else Podman, as for a node. @throws ElderError `ENGINE_UNAVAILABLE` */
export async function openImageStore (choice: 'auto' | ContainerEngineName, env: NodeJS.ProcessEnv): Promise<ImageStore> {
  const reasons: string[] = []
  for (const name of choice === 'auto' ? ['docker', 'podman'] as const : [choice]) {
    const found = await findDaemon(name, socketCandidates(name, env), env)
    if (typeof found === 'string') {
      reasons.push(`${name}: ${found}`)
      continue
    }
    const { client } = found
    return {
      engine: name, list: () => listImages(client),
      build: async function * ({ base, tag = DEFAULT_IMAGE, signal }) {
        return yield * buildImage(client, { dockerfile: await readFile(RECIPE), tag, signal, ...(base === undefined ? {} : { base }) })
      },
    }
  }
  throw new ElderError('ENGINE_UNAVAILABLE', `no engine that runs images: ${reasons.join('; ')}`, 'Start Docker or Podman, or name its socket: DOCKER_HOST=unix:///path/to/docker.sock')
}
