/** What a build that ended is told besides its exit code: why, in words, and what to set. Pure. */
import type { BuildNetwork, BuildResult } from '@elder-node/protocol'
import type { KeptWhy, WrittenFile } from '../../ports/source.ts'

/** What the attempt that counts ran in. */
export interface Surroundings {
  /** Name of the builder. */
  builder: string
  engine: string
  network: BuildNetwork
  sealed: boolean
  image: string | null
  /** Who named the image; null: nobody. */
  imageFrom: string | null
}

const NOT_FOUND = 127
const BESIDE_TOLD = 10
const SEEN = 'The image is taken from --image <ref>, else from {"build":{"image":"…"}} in .elder.json, else from "image" in .devcontainer/devcontainer.json, else it is the builder\'s default; --prepare adds tools to the tree.'

/** `docker; network: full, as the owner of mini allows`: said when an attempt begins. */
export function aboutNetwork ({ builder, network, sealed }: Surroundings): string {
  if (sealed) return 'network: none, sealed'
  return network === 'none' ? `network: none, as the owner of ${builder} wants` : `network: full, as the owner of ${builder} allows`
}

/** One sentence each, for the result that counts. */
export function adviceFor (result: Pick<BuildResult, 'exitCode' | 'unmatched' | 'leftOut'>, around: Surroundings | undefined): string[] {
  return [
    ...(result.exitCode === NOT_FOUND && around !== undefined ? [missingTool(around)] : []),
    ...(result.exitCode === 0 ? result.unmatched.map(glob => `no output matches ${glob}`) : []),
    ...result.leftOut,
  ]
}

/** Files that the outputs did not replace, one sentence each; a few, and how many more. */
export function adviceBeside (outputs: WrittenFile[], builder: string): string[] {
  const kept = outputs.filter(({ beside }) => beside !== undefined)
  const told = kept.slice(0, BESIDE_TOLD).map(({ path, beside, kept: why = 'changed' }) =>
    `${path} ${KEPT[why]}, so it stays: the output of ${builder} is ${beside} (--force replaces)`)
  const more = kept.length - told.length
  return more === 0 ? told : [...told, `${more} more outputs stand beside files that were kept here: *.from-${builder}`]
}

const KEPT: Record<KeptWhy, string> = {
  'changed': 'is not what was sent any more',
  'not-ours': 'was not sent, and no earlier build wrote it as it is',
  'special': 'is no regular file',
}

function missingTool ({ builder, engine, image, imageFrom }: Surroundings): string {
  if (engine === 'docker' || engine === 'podman') return `a command was not found (exit 127): this build sees the tools of ${image === null ? `the default image of ${builder}` : `the image ${image} (from ${imageFrom ?? '--image'})`}. ${SEEN}`
  return `a command was not found (exit 127): this build sees the tools that are installed on ${builder} (engine ${engine}, no image). Install it there, or build on a device with an engine that runs images. ${SEEN}`
}
