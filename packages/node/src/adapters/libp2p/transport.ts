/**
 * TCP as libp2p has it, except that a listener always knows its addresses. One that listens everywhere lists the
 * interfaces of the machine, which takes a file descriptor; libp2p asks from timers and events that catch nothing, and
 * a program that has a node in it would end because the machine was short of descriptors for a moment.
 */
import type { Listener } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'

type CreateTransport = ReturnType<typeof tcp>

export function tcpTransport (): CreateTransport {
  const create = tcp()
  return components => {
    const transport = create(components)
    const { createListener } = transport
    transport.createListener = options => withLastAddresses(createListener.call(transport, options))
    return transport
  }
}

/** While the interfaces cannot be listed, the listener has the addresses of the last time. */
function withLastAddresses (listener: Listener): Listener {
  const { getAddrs } = listener
  let last: ReturnType<Listener['getAddrs']> = []
  listener.getAddrs = () => {
    try {
      last = getAddrs.call(listener)
    } catch {
      // The next look tells what changed meanwhile.
    }
    return last
  }
  return listener
}
