/** Images on a daemon: which are there, how one comes, how the default one is made. */
import { ElderError, imageHint } from '@elder-node/protocol'
import { DiskWatch } from '../disk-watch.ts'
import type { ContainerClient, ImageDetails } from './client.ts'
import { DaemonError } from './http.ts'
import { failureOf, textOf } from './progress.ts'
import { parseImage, type ImageReference } from './reference.ts'
import { tarOf } from './tar.ts'

/** What `elder-node image build` makes and builds without an image of their own run in. */
export const DEFAULT_IMAGE = 'elder-node/default:latest'

const PULL_MS = 900_000
const BUILD_MS = 3_600_000

export interface ImageInfo { name: string, id: string, bytes: number, createdAt: string }

/** Newest first; each tag of an image is one. */
export async function listImages (client: ContainerClient): Promise<ImageInfo[]> {
  const all = (await client.images()).sort((a, b) => b.Created - a.Created)
  return all.flatMap(({ Id, RepoTags, Created, Size }) => (RepoTags ?? []).filter(tag => !tag.includes('<none>')).map(tag => (
    { name: imageHint(tag), id: Id.replace(/^sha256:/, '').slice(0, 12), bytes: Size, createdAt: new Date(Created * 1000).toISOString() }
  )))
}

export interface FoundImage { name: string, details: ImageDetails }

/**
 * The image of a build: the one it names, else the owner's choice, else the default one. What is named and not here is pulled.
 * Yields lines for the build's log.
 *
 * @throws ElderError `IMAGE_INVALID`, `IMAGE_MISSING`, `IMAGE_UNAVAILABLE`
 */
export async function * findImage (client: ContainerClient, named: string | null, signal: AbortSignal): AsyncGenerator<string, FoundImage> {
  const reference = parseImage(named ?? DEFAULT_IMAGE)
  const here = await client.image(reference.full)
  if (here !== undefined) return { name: reference.full, details: here }
  if (named === null || imageHint(reference.full) === DEFAULT_IMAGE) {
    throw new ElderError('IMAGE_MISSING', `the build names no image, and this builder has no ${DEFAULT_IMAGE} yet`, 'Run on the builder: elder-node image build   (or name one: --image node:24)')
  }
  yield `image ${reference.full} is not here yet: pulling it\n`
  yield * pull(client, reference, signal)
  const pulled = await client.image(reference.full)
  if (pulled === undefined) throw unavailable(reference, 'it was pulled, and is not there')
  return { name: reference.full, details: pulled }
}

async function * pull (client: ContainerClient, reference: ImageReference, signal: AbortSignal): AsyncGenerator<string> {
  if (reference.isLocal) throw unavailable(reference, 'its registry would be this builder itself, where builds have no business')
  const late = AbortSignal.timeout(PULL_MS)
  const full = new AbortController()
  const { DockerRootDir: place } = await client.info().catch((): { DockerRootDir?: string } => ({}))
  // Counts as bigger than any build: it is what has just come.
  const disk = place === undefined ? undefined : new DiskWatch({ folders: () => [place], bytesMax: Infinity, walk: () => Promise.resolve(Infinity), onFull: () => { full.abort() } })
  try {
    for await (const line of client.pull(reference.name, reference.version, AbortSignal.any([signal, late, full.signal]))) {
      const failure = failureOf(line)
      if (failure !== undefined) throw unavailable(reference, failure)
      const text = textOf(line)
      if (text !== undefined) yield text
    }
  } catch (error) {
    if (signal.aborted || error instanceof ElderError) throw error
    throw unavailable(reference, full.signal.aborted ? 'the disk of this builder would run full' : late.aborted ? `not pulled within ${PULL_MS / 60_000} minutes` : (error as Error).message)
  } finally {
    disk?.stop()
  }
}

function unavailable ({ full }: ImageReference, why: string): ElderError {
  return new ElderError('IMAGE_UNAVAILABLE', `the image ${full} could not be pulled: ${why}`, 'Is the name right and the registry reachable from the builder? A private image must be pulled there by its owner first.')
}

export interface BuildImageInit {
  dockerfile: Uint8Array
  tag: string
  /** The base image; the recipe's own when undefined. */
  base?: string
  signal: AbortSignal
}

/** Builds an image from a recipe alone. Yields what the daemon prints. @throws ElderError `IMAGE_INVALID`, `IMAGE_BUILD_FAILED` */
export async function * buildImage (client: ContainerClient, { dockerfile, tag, base, signal }: BuildImageInit): AsyncGenerator<string, ImageInfo> {
  const { full } = parseImage(tag)
  const buildargs = base === undefined ? undefined : JSON.stringify({ BASE: parseImage(base).full })
  const late = AbortSignal.any([signal, AbortSignal.timeout(BUILD_MS)])
  try {
    for await (const line of client.build(tarOf({ Dockerfile: dockerfile }), { t: full, rm: '1', forcerm: '1', ...(buildargs === undefined ? {} : { buildargs }) }, late)) {
      const failure = failureOf(line)
      if (failure !== undefined) throw failed(full, failure)
      const text = textOf(line)
      if (text !== undefined) yield text
    }
  } catch (error) {
    throw error instanceof DaemonError ? failed(full, error.message) : error
  }
  const made = (await listImages(client)).find(image => image.name === imageHint(full))
  if (made === undefined) throw failed(full, 'the daemon ended without making it')
  return made
}

function failed (name: string, why: string): ElderError {
  return new ElderError('IMAGE_BUILD_FAILED', `${name} was not built: ${why}`, 'Its last lines say why. Another base image: elder-node image build --base <image>')
}
