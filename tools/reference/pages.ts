/** Every page of docs/reference, by file name. */
import { cliPage } from './cli.ts'
import { errorsPage } from './errors.ts'
import { jsonPage } from './json.ts'
import { page, table } from './markdown.ts'
import { alertsPage, configPage, limitsPage, metricsPage } from './tables.ts'

const CONTENTS: Array<[file: string, about: string]> = [
  ['cli.md', 'every command, argument, flag and exit code, with examples'],
  ['errors.md', 'every code: why it comes about, what to do'],
  ['json.md', 'the documents that `--json` prints'],
  ['config.md', 'what the owner of a device sets'],
  ['metrics.md', 'what `/metrics` answers'],
  ['alerts.md', 'what a node calls a problem by itself'],
  ['limits.md', 'every bound of the protocol, with its reason'],
  ['../PROTOCOL.md', 'the wire, written by hand: records, messages, streams, the control socket'],
]

export async function referencePages (root: string): Promise<Map<string, string>> {
  return new Map([
    ['README.md', page('Reference', 'Made from the code by `npm run reference`, and held to it by a test.', table(['page', 'has'], CONTENTS.map(([file, about]) => [`[${file.replace('../', '')}](${file})`, about])))],
    ['cli.md', await cliPage()], ['errors.md', errorsPage()], ['json.md', jsonPage(root)],
    ['config.md', configPage()], ['metrics.md', metricsPage()], ['alerts.md', alertsPage()], ['limits.md', limitsPage(root)],
  ])
}
