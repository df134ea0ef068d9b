/**
 * What a builder needs besides its engine, asked in the environment of this node: its service may have another PATH
 * than a shell.
 */
import { nativeGitWorks } from '@elder-node/crdt-stack/git'
import type { Problem } from '../api.ts'
import type { Engine } from '../ports/engine.ts'

/** Codes of builds that failed because something is missing on this device: worth another look. */
export const MISSING_HERE: ReadonlySet<string> = new Set(['GIT_MISSING', 'ENGINE_UNAVAILABLE', 'ENGINE_FAILED'])

/** Between what `status` says of the engine and why it runs nothing. */
export const NO_SLOTS = '; 0 slots: '
/** Begins the words for a missing git. */
const NO_GIT = 'no working git'

/** What `status` says of it, with the way out. */
export function lackProblem (lacks: string): Problem {
  const message = `this device offers no build slots: ${lacks}`
  if (lacks.startsWith(NO_GIT)) {
    const fix = 'Install git, or start the node with a PATH that has it: it is looked for every few seconds.'
    return { code: 'GIT_MISSING', message, fix }
  }
  return { code: 'ENGINE_UNAVAILABLE', message, fix: '`elder-node doctor` says what the engine needs.' }
}

/** In a few words, as they travel in the advert; undefined: nothing. */
export async function builderLacks (engine: Engine): Promise<string | undefined> {
  const works = await nativeGitWorks().catch((error: Error) => error)
  // It could not be asked. No build could run it either: it is asked again in a moment.
  if (works instanceof Error) return works.message
  if (!works) return `${NO_GIT} in the PATH of its node`
  return await engine.check().then(() => undefined, (error: Error) => error.message)
}
