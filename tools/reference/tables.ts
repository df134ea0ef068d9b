/** The pages that are one table of the code each: settings, metrics, alerts, limits. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SETTINGS } from '../../packages/node/src/device-config/catalogue.ts'
import { ERRORS } from '../../packages/node/src/errors/catalogue.ts'
import { ALERTS } from '../../packages/node/src/services/alerts/catalogue.ts'
import { METRICS } from '../../packages/node/src/services/telemetry/catalogue.ts'
import { LIMITS } from '../../packages/protocol/src/limits.ts'
import { code, duration, page, table } from './markdown.ts'

export function configPage (): string {
  return page('Settings',
    'What the owner of a device sets. A flag of `join` (or a value given to `createNode`) goes before the environment variable, that before `settings.json` in the data directory (`elder-node config set`), and that before the default. What `join` was told stays: its flags are written to `settings.json`. `elder-node config list --sources` shows where each value comes from.',
    table(['setting', 'is', 'default', 'environment', 'takes hold', ''], SETTINGS.map(({ key, type, byDefault, env, applies, description }) => [
      code(key), `${type.name}, such as ${code(type.example)}`, 'value' in byDefault ? code(shown(byDefault.value)) : byDefault.words, code(env), applies, description,
    ])),
    'The data directory itself is `--dir`, else `ELDER_NODE_DIR`, else `$XDG_STATE_HOME/elder-node`, else `~/.local/state/elder-node`. `ELDER_AGENT` stands for `--as`; `NO_COLOR` for `--no-color`.')
}

function shown (value: unknown): string { return value === true ? 'yes' : value === false ? 'no' : String(value) }

export function metricsPage (): string {
  return page('Metrics',
    'Prometheus text at `/metrics` of the page that `http.listen` opens; `elder-node status --json` says where (`self.http`). Beside it: `/healthz` (this process answers), `/readyz` (this node does its work, or 503 and why not). A node also says what it knows of the other devices (`device`): scraping one shows the whole mesh. Dashboard and alert rules: examples/monitoring.',
    table(['metric', 'type', 'labels', ''], Object.entries(METRICS).map(([name, { type, labels, help, buckets }]) => [
      code(name), type, labels.map(code).join(', '), help + (buckets === undefined ? '' : ` Buckets: ${buckets.join(', ')} s.`),
    ])))
}

export function alertsPage (): string {
  return page('Alerts',
    'What a node calls a problem by itself. `elder-node status` shows them last, `elder-node status --check` exits 5 on them, `/metrics` counts them as `elder_alert{code}`. A condition must hold without a break for the time given, as with `for` of a Prometheus rule.',
    table(['code', 'when', 'holds for', 'what to do'], Object.entries(ALERTS).map(([name, { when, holdMs, settleMs }]) => [
      code(name), when, holdMs === 0 ? 'at once' : duration(holdMs) + (settleMs === undefined ? '' : `, ${duration(settleMs)} of it seen by this node itself`), ERRORS[name]?.fix ?? '',
    ])),
    'Services add what they find themselves: MIRROR_FOREIGN, MIRROR_REWRITTEN, FEED_DAMAGED and others of kind *problem* in [errors.md](errors.md).')
}

export function limitsPage (root: string): string {
  return page('Protocol limits',
    'Every bound of the wire and of the state, each with its reason: what is beyond is refused before it is used. Bytes unless the name says otherwise. The wire itself is [PROTOCOL.md](../PROTOCOL.md).',
    table(['limit', 'value', 'reason'], reasonsOf(readFileSync(join(root, 'packages/protocol/src/limits.ts'), 'utf8')).map(({ name, reason }) => [code(name), amount(LIMITS[name as keyof typeof LIMITS], name), reason])))
}

/** A comment holds for every line until the next one. */
function reasonsOf (text: string): Array<{ name: string, reason: string }> {
  let reason = ''
  return text.split('\n').flatMap(line => {
    reason = /^ {2}\/\*\* (.*) \*\/$/.exec(line)?.[1] ?? reason
    const name = /^ {2}(\w+): [\d_]+,$/.exec(line)?.[1]
    return name === undefined ? [] : [{ name, reason }]
  })
}

function amount (value: number, name: string): string {
  const [unit, size] = ([['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]] as const).find(([, size]) => value >= size && value % size === 0) ?? ['', 1]
  return /bytes/i.test(name) && size > 1 ? `${value / size} ${unit}` : String(value)
}
