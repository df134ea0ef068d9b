/** Where the mesh's claim and build services end: one place that says who answers what. */
import { MalformedError, parseClaimWord, type ClaimWord, type Value } from '@elder-node/protocol'
import type { Mesh } from '../../ports/mesh.ts'
import type { ResourceService } from '../resources.ts'
import type { BuildHost } from './build-host.ts'
import type { Builds } from './builds.ts'

/** Call before the mesh starts. */
export function serveBuilds (mesh: Mesh, { resources, host, builds }: { resources: ResourceService, host: BuildHost, builds: Builds }): void {
  mesh.onRequest('claim', { role: 'observer' }, (from, message) => {
    if (isAdvert(message)) {
      if (!resources.hear(from, message.advert)) throw new MalformedError('not an advert')
      return {}
    }
    const word: ClaimWord = parseClaimWord(message)
    const answer: ClaimWord = word.type === 'bind' ? builds.onBind(from, word) : host.onWord(from, word)
    return answer as unknown as Value
  })
  mesh.onStream('build', { role: 'member' }, stream => host.onStream(stream))
}

function isAdvert (message: Value): message is { type: 'advert', advert: Value } {
  return typeof message === 'object' && message !== null && 'type' in message && message['type'] === 'advert' && 'advert' in message
}
