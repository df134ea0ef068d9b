import { deviceId, type DeviceId, type Signer } from '@elder-node/protocol'
import { cheapCrypto, cheapSigner } from '../../../protocol/test/support/cheap-crypto.ts'

export const crypto = cheapCrypto

export function signerOf (name: string): Signer & { id: DeviceId } {
  const signer = cheapSigner(name)
  return { ...signer, id: deviceId(signer.publicKey) }
}
