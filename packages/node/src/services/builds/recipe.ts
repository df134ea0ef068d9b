/** What is built, and how: flags go before `.elder.json`, and that before the devcontainer's image. */
import { IMAGE_REF } from '@elder-node/protocol'
import type { BuildRequest } from '../../api.ts'
import type { Snapshot, SourceReader } from '../../ports/source.ts'
import { ELDER_JSON, parseElderJson, RECIPE_BYTES_MAX } from './elder-json.ts'
import { parseJsonText } from './json-text.ts'

export interface Recipe {
  /** Null when neither the caller nor the project named one. */
  command: string[] | null
  prepare: string | null
  outputs: string[]
  image: string | null
  /** Who named the image; null: nobody, so the builder's default holds. */
  imageFrom: string | null
  memoryBytes: number | null
  cpus: number | null
  platform: string | null
  /** One sentence each. */
  warnings: string[]
}

/** Where a devcontainer may stand (https://containers.dev/implementors/spec/#devcontainerjson), first found wins. */
const DEVCONTAINERS = ['.devcontainer/devcontainer.json', '.devcontainer.json']

/** @throws ElderError `RECIPE_INVALID` when `.elder.json` is there and not what it should be. */
export async function readRecipe (reader: SourceReader, snapshot: Snapshot, request: BuildRequest, { signal }: { signal: AbortSignal }): Promise<Recipe> {
  const read = (path: string): Promise<Uint8Array | undefined> => reader.read(snapshot, path, { signal })
  const bytes = await read(ELDER_JSON)
  const file = bytes === undefined ? undefined : parseElderJson(bytes)
  return {
    command: request.command ?? file?.command ?? null, prepare: request.prepare ?? file?.prepare ?? null, outputs: request.outputs ?? file?.outputs ?? [],
    memoryBytes: request.memoryBytes ?? file?.memoryBytes ?? null, cpus: request.cpus ?? file?.cpus ?? null, platform: file?.platform ?? null,
    ...await imageOf(read, request.image, file?.image), warnings: file?.warnings ?? [],
  }
}

/** True of an image that the project's editor uses: a wish, while those of the other places are a must. */
export function isWish ({ imageFrom }: Recipe): boolean { return imageFrom !== null && DEVCONTAINERS.includes(imageFrom) }

async function imageOf (read: (path: string) => Promise<Uint8Array | undefined>, asked: string | undefined, named: string | undefined): Promise<Pick<Recipe, 'image' | 'imageFrom'>> {
  if (asked !== undefined) return { image: asked, imageFrom: '--image' }
  if (named !== undefined) return { image: named, imageFrom: ELDER_JSON }
  for (const path of DEVCONTAINERS) {
    const bytes = await read(path)
    if (bytes === undefined) continue
    const image = devcontainerImage(bytes)
    return image === undefined ? { image: null, imageFrom: null } : { image, imageFrom: path }
  }
  return { image: null, imageFrom: null }
}

/** The file is written for editors: what we cannot read, or what it builds by itself, is none of ours. */
export function devcontainerImage (bytes: Uint8Array): string | undefined {
  if (bytes.length > RECIPE_BYTES_MAX) return undefined
  try {
    const { value } = parseJsonText(new TextDecoder().decode(bytes), { comments: true })
    const image = typeof value === 'object' && value !== null && !Array.isArray(value) ? value['image'] : undefined
    return typeof image === 'string' && IMAGE_REF.test(image) ? image : undefined
  } catch {
    return undefined
  }
}
