/** libp2p formats a log scope per stream even when nobody listens: 6 % of the CPU of a busy node. DEBUG brings its own logger back. */
import type { ComponentLogger, Logger } from '@libp2p/interface'

const silent: Logger = Object.assign(() => {}, { error () {}, trace () {}, enabled: false, newScope: () => silent })
const quiet: ComponentLogger = { forComponent: () => silent }

export function libp2pLogger (): { logger?: ComponentLogger } {
  return (process.env.DEBUG ?? '') === '' ? { logger: quiet } : {}
}
