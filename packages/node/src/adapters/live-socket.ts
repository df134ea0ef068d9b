/** Whether a node answers at a control socket. A lock can be damaged or deleted while its node runs; that node answers all the same. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { ElderError } from '@elder-node/protocol'

async function answers (socket: string): Promise<boolean> {
  const probe = connect(socket)
  try {
    await once(probe, 'connect')
    return true
  } catch {
    return false
  } finally {
    probe.destroy()
  }
}

/** @throws ElderError `LOCKED` when a node answers there */
export async function refuseSecond (socket: string): Promise<void> {
  if (!await answers(socket)) return
  throw new ElderError('LOCKED', `another node runs on this data directory: it answers at ${socket}`, 'Use it, or stop it first; a second node needs its own --dir.')
}
