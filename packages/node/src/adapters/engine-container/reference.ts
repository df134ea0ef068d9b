/** Names of images, as they come from other devices: taken apart before a daemon sees them. */
import { ElderError, IMAGE_REF } from '@elder-node/protocol'

export interface ImageReference {
  /** As it is asked of the daemon: with its tag, `latest` when none was named. */
  full: string
  name: string
  /** Tag or digest. */
  version: string
  /** The name leads to this machine itself, or to the metadata service of a cloud. Docker asks there without TLS, and its error quotes the answer. */
  isLocal: boolean
}

/** As Docker tells a host from a folder of its own registry: by a dot, a colon, or `localhost`. */
const LOCAL = /^(?:localhost|[^/]*\.localhost|127\.[0-9.]+|0\.0\.0\.0|169\.254\.[0-9.]+|\[(?:[0:]*:0*1?|::ffff:[0-9a-f:.]+|fe[89ab][0-9a-f]:[0-9a-f:]*)\])(?::[0-9]+)?\//i

/** @throws ElderError `IMAGE_INVALID` */
export function parseImage (text: string): ImageReference {
  const [, name, tag, digest] = IMAGE_REF.exec(text) ?? []
  if (name === undefined) throw new ElderError('IMAGE_INVALID', `"${text.slice(0, 80)}" is not the name of an image`, 'Write it as Docker does: node:24, registry.example/owner/name:tag, name@sha256:…')
  const version = digest ?? tag ?? 'latest'
  return { full: digest === undefined ? `${name}:${version}` : `${name}@${digest}`, name, version, isLocal: LOCAL.test(name) }
}
