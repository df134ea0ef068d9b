/** `elder.json`: whose mirror this is and which versions wrote it. */
import { fromUtf8, utf8 } from '@elder-node/protocol'
import { IMPORTER, MIRROR_FORMAT, RENDERER, type MirrorHeader, type MirrorProblem } from './types.ts'

export const HEADER_BYTES_MAX = 4096
const OLDER_FIX = 'Use an empty repository as remote, or move the branch elder/memory there out of the way. ' +
  'To read it: the version that wrote it.'

export function headerBytes (mesh: string): Uint8Array {
  return utf8(`${JSON.stringify({ format: MIRROR_FORMAT, importer: IMPORTER, mesh, renderer: RENDERER })}\n`)
}

/** Undefined for anything that is not a header: it is then written anew. */
export function parseHeader (content: Uint8Array): MirrorHeader | undefined {
  try {
    const { format, renderer, importer, mesh } = JSON.parse(fromUtf8(content)) as Record<string, unknown>
    const counts = [format, renderer, importer].every(value => Number.isSafeInteger(value) && (value as number) >= 1)
    return counts && typeof mesh === 'string' && /^[a-z2-7]{26}$/.test(mesh) ? { format, renderer, importer, mesh } as MirrorHeader : undefined
  } catch {
    return undefined
  }
}

/** Why this device must not write here; undefined when it may. */
export function refuseHeader (header: MirrorHeader | undefined, mesh: string, url: string): MirrorProblem | undefined {
  if (header === undefined) return undefined
  if (header.mesh !== mesh) return { code: 'MIRROR_FOREIGN', message: `${url} holds the mirror of another mesh (${header.mesh})`, fix: `Use an empty repository as remote, or import that mirror with: elder-node stack restore ${url}` }
  return refuseFormat(header, url)
}

/**
 * A newer format cannot be read here. Segments of this format do not go beside those of an older one: whoever reads
 * that header would take them for what they are not.
 */
export function refuseFormat ({ format }: MirrorHeader, url: string): MirrorProblem | undefined {
  if (format === MIRROR_FORMAT) return undefined
  if (format > MIRROR_FORMAT) {
    const message = `${url} was written by a newer elder-node (mirror format ${format})`
    return { code: 'MIRROR_NEWER', message, fix: 'Update this device to the newest release.' }
  }
  const formats = `mirror format ${format}, not ${MIRROR_FORMAT}`
  const message = `${url} was written by an older elder-node (${formats}), and is left as it is`
  return { code: 'MIRROR_OLDER', message, fix: OLDER_FIX }
}
