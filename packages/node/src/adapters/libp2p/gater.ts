/** The second lock: a synchronous roster look-up on every connection, after the door has merged what the peer showed. */
import type { ConnectionGater, PeerId } from '@libp2p/interface'
import type { Admission } from '../../ports/admission.ts'
import { deviceOf } from './peer-id.ts'
import type { Porch } from './porch.ts'

/** `relays`: this device passes connections on for members now. */
export function gater (admission: Admission, relays: () => boolean, porch: Porch): ConnectionGater {
  const isStranger = (peer: PeerId): boolean => {
    const device = deviceOf(peer)
    return device === undefined || admission.role(device) === undefined || admission.isRevoked(device)
  }
  const isRevoked = (peer: PeerId): boolean => {
    const device = deviceOf(peer)
    return device === undefined || admission.isRevoked(device)
  }
  return {
    // Not "unknown": a member this node has not heard of yet must be dialable; its proof comes in the door's answer.
    denyDialPeer: isRevoked,
    // The default refuses private addresses in some builds; a private mesh lives on them.
    denyDialMultiaddr: () => false,
    // Nobody is known yet; but from here on it has to knock.
    denyInboundConnection: caller => {
      porch.arrived(caller)
      return false
    },
    denyInboundEncryptedConnection: isStranger,
    denyOutboundEncryptedConnection: isStranger,
    // Again once the connection is there: a removal that came meanwhile found nothing to close.
    denyInboundUpgradedConnection: isStranger,
    denyOutboundUpgradedConnection: isStranger,
    denyInboundRelayReservation: peer => !relays() || isStranger(peer),
    denyOutboundRelayedConnection: (source, destination) => !relays() || isStranger(source) || isStranger(destination),
    denyInboundRelayedConnection: (relay, peer) => isStranger(relay) || isRevoked(peer),
  }
}
