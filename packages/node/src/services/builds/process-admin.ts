/**
 * Builds that run as the user of this node are the node, to everybody else: they can read its key and use its control
 * socket. On a device that may invite and evict, its owner has to say that builds are trusted with that.
 */
import { ElderError, type Role } from '@elder-node/protocol'

export interface TrustInit {
  /** Builds run as this node's own user. */
  asNode: boolean
  /** Builds at once that were asked for; undefined: the default. */
  slots: number | undefined
  /** The owner said `join --trust-builds`. */
  trusted: boolean
}

/** In a few words, as they travel in the advert; undefined: builds may run. */
export function distrust ({ asNode, slots, trusted }: TrustInit, role: Role | undefined): string | undefined {
  const isAsked = asNode && !trusted && slots !== 0 && role === 'admin'
  return isAsked ? 'process engine on an admin device, not trusted' : undefined
}

/** @throws ElderError `PROCESS_ADMIN` */
export function demandTrust (init: TrustInit, role: Role | undefined): void {
  if (distrust(init, role) === undefined) return
  throw new ElderError(
    'PROCESS_ADMIN',
    'this device may invite and evict, and with the process engine as an ordinary user every build can do the same: ' +
    'it reads what you can read, the key of this device included',
    'Use Docker, Podman or the sandbox: --engine auto. Or trust every build: ' +
    'elder-node join --engine process --trust-builds. Or run no builds here: --slots 0',
  )
}
