/** Says which port is taken, and by whom, before libp2p says that "some addresses failed". */
import { ElderError } from '@elder-node/protocol'
import { isTaken } from '../free-ports.ts'
import { portHolder } from '../port-holder.ts'

/** @throws ElderError `PORT_IN_USE` with `data: {port, pid?, process?}` */
export async function requirePorts (listen: string[]): Promise<void> {
  for (const address of listen) {
    const [, host, port] = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)$/.exec(address) ?? []
    if (host === undefined || port === undefined || port === '0') continue
    if (await isTaken(host, Number(port))) throw await portInUse(Number(port))
  }
}

async function portInUse (port: number): Promise<ElderError> {
  const holder = await portHolder(port)
  const who = holder === undefined ? 'another process' : `process ${holder.pid} (${holder.name})`
  const data = { port, ...(holder === undefined ? {} : { pid: holder.pid, process: holder.name }) }
  return new ElderError('PORT_IN_USE', `port ${port} is held by ${who}`, `Stop it, or choose another port, for good: elder-node config set listen /ip4/0.0.0.0/tcp/${port + 1}`, data)
}
