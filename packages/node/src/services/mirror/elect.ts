/** Who pushes a stack to a remote: the highest hash wins (rendezvous hashing, Thaler and Ravishankar 1998); no message is needed. */
import { compareBytes, deviceKey, utf8, type Crypto, type DeviceId } from '@elder-node/protocol'

export function electPusher (key: string, url: string, devices: DeviceId[], crypto: Crypto): DeviceId | undefined {
  const place = utf8(`elder/mirror/v1\0${key}\0${url}\0`)
  const ranked = devices.map(device => ({ device, rank: crypto.sha256(place, deviceKey(device)) })).sort((a, b) => compareBytes(b.rank, a.rank))
  return ranked[0]?.device
}
