/** Bytes that this process wrote to its sockets, by Node's own diagnostics channels: everything that leaves, whatever it is for. */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

const open = new Set<Socket>()
let closed = 0

function watch (message: unknown): void {
  const { socket } = message as { socket: Socket }
  open.add(socket)
  socket.once('close', () => {
    open.delete(socket)
    closed += socket.bytesWritten
  })
}

/** Before the first socket opens. */
export function countSocketBytes (): void {
  subscribe('net.client.socket', watch)
  subscribe('net.server.socket', watch)
}

export function bytesSent (): number { return [...open].reduce((sum, socket) => sum + socket.bytesWritten, closed) }
