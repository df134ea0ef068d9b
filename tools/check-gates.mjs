/**
 * A gate that cannot fail is no gate: plants one violation per layer rule in a copy of the lint configuration's tree and
 * demands that the linter names every one of them, and that a clean file passes.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const PLANTED = {
  'packages/protocol/src/clock.ts': 'export const now = (): number => Date.now()\n',
  'packages/protocol/src/dice.ts': 'export const roll = (): number => Math.random()\n',
  'packages/protocol/src/disk.ts': "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n",
  'packages/protocol/src/upward.ts': "import { Stack } from '@elder-node/crdt-stack'\nexport const S = Stack\n",
  'packages/protocol/src/loose.ts': 'export const loose = (x: any): unknown => x\n',
  'packages/crdt-stack/src/second-yjs.ts': "import * as Y from 'yjs'\nexport const D = Y.Doc\n",
  'packages/crdt-stack/src/disk.ts': "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n",
  'packages/crdt-stack/src/upward.ts': "import { createNode } from 'elder-node'\nexport const c = createNode\n",
  'packages/node/src/ports/impure.ts': "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n",
  'packages/node/src/ports/metrics.ts': "import { METRICS } from '../services/telemetry/catalogue.ts'\nexport const m = METRICS\n",
  'packages/node/src/services/interval.ts': 'export const again = (): unknown => setInterval(() => {}, 1)\n',
  'packages/node/src/services/socket.ts': "import { createLibp2p } from 'libp2p'\nexport const c = createLibp2p\n",
  'packages/node/src/services/adapter.ts': "import { x } from '../adapters/clock.ts'\nexport const y = x\n",
  'packages/node/src/services/disk.ts': "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n",
  'packages/node/src/services/alerts/conditions.ts': "import { freemem } from 'node:os'\nexport const free = freemem\n",
  'packages/node/src/services/builds/upward.ts': "import { facade } from '../../facade/facade.ts'\nexport const f = facade\n",
  'packages/node/src/facade/clock.ts': "import { systemClock } from '../adapters/clock.ts'\nexport const c = systemClock\n",
  'packages/node/src/device-config/resolve.ts': "import { readFileSync } from 'node:fs'\nexport const read = readFileSync\n",
  'packages/node/src/adapters/service.ts': "import { x } from '../services/builds.ts'\nexport const y = x\n",
  'packages/node/src/gateway/network.ts': "import { createLibp2p } from 'libp2p'\nexport const c = createLibp2p\n",
  'packages/node/src/gateway/engine.ts': "import { x } from '../adapters/engine-process/engine.ts'\nexport const y = x\n",
  'packages/node/src/gateway/cli/containers.ts': "import { x } from '../../adapters/engine-container/store.ts'\nexport const y = x\n",
  'packages/node/src/gateway/cli/commands/image.ts': "import { x } from '../../../adapters/engine-container/engine.ts'\nexport const y = x\n",
  'packages/node/src/gateway/cli/heavy.ts': "import { createNode } from '../../node.ts'\nexport const c = createNode\n",
  'packages/node/src/gateway/cli/start.ts': "import { x } from '../../adapters/clock.ts'\nexport const y = x\n",
  'packages/node/src/gateway/http/server.ts': "import { Output } from '../cli/output.ts'\nexport const o = Output\n",
  'packages/node/src/gateway/doctor/place.ts': "import { statSync } from 'node:fs'\nexport const stat = statSync\n",
  'packages/node/src/gateway/service/unit.ts': "import { writeFileSync } from 'node:fs'\nexport const write = writeFileSync\n",
  'packages/node/src/gateway/render/status.ts': "import { freemem } from 'node:os'\nexport const free = freemem\n",
}
const CLEAN = { 'packages/protocol/src/clean.ts': 'export const one = (): number => 1\n' }

const copy = mkdtempSync(join(tmpdir(), 'elder-gates-'))
try {
  cpSync(join(root, '.oxlintrc.json'), join(copy, '.oxlintrc.json'))
  for (const [path, text] of Object.entries({ ...PLANTED, ...CLEAN })) {
    mkdirSync(dirname(join(copy, path)), { recursive: true })
    writeFileSync(join(copy, path), text)
  }
  const { stdout, stderr, status } = spawnSync(join(root, 'node_modules/.bin/oxlint'), ['--format=unix', '.'], { cwd: copy, encoding: 'utf8' })
  const missed = Object.keys(PLANTED).filter(path => !stdout.includes(path))
  const wrong = Object.keys(CLEAN).filter(path => stdout.includes(path))
  if (status === 0 || missed.length > 0 || wrong.length > 0) {
    console.error(stdout + stderr)
    console.error(`layer gate: missed ${missed.join(', ') || 'nothing'}; wrongly refused ${wrong.join(', ') || 'nothing'}`)
    process.exit(1)
  }
  console.log(`layer gate: all ${Object.keys(PLANTED).length} planted violations caught`)
} finally {
  rmSync(copy, { recursive: true, force: true })
}
