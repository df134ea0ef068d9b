/**
 * Tells libp2p that the addresses of this device's interfaces are its own. It keeps every public one to itself until AutoNAT has had it
 * confirmed by four strangers: a rented server, or a home with IPv6, would announce nothing that others can dial.
 */
import type { AddressManager } from '@libp2p/interface-internal'

export interface OwnAddresses {
  /** Cheap, and done before every look at them: interfaces come and go. */
  confirm (): void
}

export function ownAddresses (): (components: { addressManager: AddressManager }) => OwnAddresses {
  return ({ addressManager }) => ({
    confirm: () => {
      for (const { multiaddr, type, verified } of addressManager.getAddressesWithMetadata()) {
        if (type === 'transport' && !verified) addressManager.confirmObservedAddr(multiaddr, { type: 'transport' })
      }
    },
  })
}
