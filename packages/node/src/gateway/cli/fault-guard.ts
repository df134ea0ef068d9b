/**
 * What nobody caught.
 *
 * Faults of one stream can arise inside js-libp2p's own event handlers, where no caller can catch them (js-libp2p#3512): that
 * stream is dead, and the node is well. Anything else leaves the node in a state that nobody thought of: it ends, and says why.
 */
import { constants } from 'node:os'
import { ElderError } from '@elder-node/protocol'
import type { Logger } from '../../ports/log.ts'
import { EXIT } from './failure.ts'
import type { Io } from './io.ts'

const STREAM_FAULTS = new Set([
  'StreamResetError', 'StreamAbortedError', 'StreamStateError', 'StreamBufferError', 'StreamClosedError', 'MuxerClosedError', 'ConnectionClosedError', 'ConnectionClosingError',
])
/** EMFILE and ENFILE, which Node gives as a code, or only as a number when its own table does not know the call. */
const NO_DESCRIPTOR = new Set(['EMFILE', 'ENFILE'])
const NO_DESCRIPTOR_ERRNO = new Set([constants.errno.EMFILE, constants.errno.ENFILE])
/** After a fault the orderly stop may hang. */
const STOP_MS = 10_000

/**
 * What needs a descriptor and is known to catch nothing is contained where it is called (libp2p's listeners and its mDNS). For what is
 * not known: a node that is well must not end because the machine was short of descriptors for a moment.
 */
function isExhausted (fault: unknown): boolean {
  const { code = '', errno = 0, info } = (fault ?? {}) as { code?: string, errno?: number, info?: { errno?: number } }
  return NO_DESCRIPTOR.has(code) || (code === 'ERR_SYSTEM_ERROR' && NO_DESCRIPTOR_ERRNO.has(Math.abs(info?.errno ?? errno)))
}

export interface FaultGuard {
  /** Rejects with `CRASHED`. Handled, also when nobody waits. */
  crashed: Promise<never>
  /** Leaves what comes from now on to the process. */
  release: () => void
}

export function guardFaults (io: Io, log: Logger): FaultGuard {
  const crash = Promise.withResolvers<never>()
  crash.promise.catch(() => {})
  const release = io.onFault(fault => {
    if (fault instanceof Error && STREAM_FAULTS.has(fault.name)) return log.warn({ err: fault }, 'a stream of the network broke where nobody waited for it')
    if (isExhausted(fault)) return log.warn({ err: fault }, 'the system has no file descriptor left; what needed one goes without')
    log.error({ err: fault }, 'nobody caught this: the node ends')
    setTimeout(() => { io.exit(EXIT.error) }, STOP_MS).unref()
    crash.reject(new ElderError('CRASHED', `the node ran into a fault of its own: ${fault instanceof Error ? fault.message : String(fault)}`, 'Start it again: elder-node join. The end of node.log in the data directory says more; please report it.', {}, { cause: fault }))
  })
  return { crashed: crash.promise, release }
}
