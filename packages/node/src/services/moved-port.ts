import type { Problem } from '../api.ts'

/** What `status` tells of a port that was kept from start to start and that another program holds now. */
export function moved (what: string, { from, to, holder }: { from: number, to: number, holder: { pid: number, name: string } | undefined }): Problem {
  const who = holder === undefined ? 'another program' : `process ${holder.pid} (${holder.name})`
  return {
    code: 'PORT_MOVED', message: `Port ${from} is held by ${who}: ${what} moved to ${to === 0 ? 'another port' : `port ${to}`}, which is kept from now on.`,
    fix: `Change what names the old port (a rule of a router or firewall, a scrape of Prometheus): elder-node status shows the new one.`,
  }
}
