// Loaded into a node with --import: writes what the outside cannot see (heap, active resources) as JSON lines to ELDER_GAUGE.
import { appendFileSync } from 'node:fs'

const [file, everyMs] = [process.env.ELDER_GAUGE, Number(process.env.ELDER_GAUGE_MS)]

setInterval(() => {
  const resources = {}
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
  appendFileSync(file, `${JSON.stringify({ at: Date.now(), ...process.memoryUsage(), resources })}\n`)
}, everyMs).unref()
