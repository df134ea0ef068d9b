/** What is answered where. */
import type { Readiness } from '../../services/telemetry/readiness.ts'
import type { Sample } from '../../services/telemetry/registry.ts'
import { exposition, EXPOSITION_TYPE } from './exposition.ts'

/** What the door asks of the node. */
export interface Observed {
  readiness (): Readiness
  samples (): Sample[]
}

export interface Page { status: number, type: string, body: string }

const JSON_TYPE = 'application/json; charset=utf-8'
const INDEX = 'elder-node\n/healthz  this process answers\n/readyz   this node does its work, or why not\n/metrics  Prometheus text\n'

/** `path` without the query. */
export function pageAt (path: string, node: Observed): Page {
  switch (path) {
    case '/': return { status: 200, type: 'text/plain; charset=utf-8', body: INDEX }
    case '/healthz': return json(200, { schema: 'elder/health.v1', ok: true })
    case '/readyz': {
      const readiness = node.readiness()
      return json(readiness.ready ? 200 : 503, { schema: 'elder/ready.v1', ...readiness })
    }
    case '/metrics': return { status: 200, type: EXPOSITION_TYPE, body: exposition(node.samples()) }
    default: return refusalPage(404, 'NO_SUCH_PAGE', 'There are /healthz, /readyz and /metrics.')
  }
}

export function refusalPage (status: number, code: string, message: string): Page { return json(status, { error: { code, message, fix: '' } }) }

function json (status: number, value: object): Page { return { status, type: JSON_TYPE, body: `${JSON.stringify(value)}\n` } }
