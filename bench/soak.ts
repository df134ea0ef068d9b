/**
 * Does anything grow without bound? Three published nodes under a steady light load (notes, small builds, `status --watch`),
 * looked at from the outside and, by `gauge.mjs`, from the inside. One JSON line a look; read the slope of the second half.
 *
 *     npm run build && node bench/soak.ts --minutes 15 > soak.jsonl
 */
import { readdirSync, readFileSync, mkdtempSync, lstatSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { publishedForm } from './form.ts'
import { Headless } from './headless.ts'
import { cpuMsOf, memoryOf, openFilesOf } from './proc.ts'
import { sleep } from './stats.ts'

const { values: flags } = parseArgs({ options: { minutes: { type: 'string', default: '15' }, 'every-s': { type: 'string', default: '15' } } })
const everyMs = Number(flags['every-s']) * 1000
const until = performance.now() + Number(flags.minutes) * 60_000
const work = mkdtempSync(join(tmpdir(), 'elder-soak-'))
const form = publishedForm()
const nodes: Headless[] = []
process.env['ELDER_GAUGE_MS'] = String(everyMs)

function filesIn (dir: string): { files: number, bytes: number } {
  const stats = readdirSync(dir, { recursive: true }).flatMap(name => { try { return [lstatSync(join(dir, String(name)))] } catch { return [] } }).filter(stat => stat.isFile())
  return { files: stats.length, bytes: stats.reduce((sum, { size }) => sum + size, 0) }
}

function inside (name: string): unknown {
  try { return JSON.parse(readFileSync(join(work, `${name}.gauge`), 'utf8').trim().split('\n').at(-1) ?? '') } catch { return null }
}

async function loop (pauseMs: number, once: (i: number) => Promise<unknown>): Promise<number> {
  let failed = 0
  for (let i = 0; performance.now() < until; i++) {
    await once(i).catch(error => { failed++; process.stderr.write(`${String(error)}\n`) })
    await sleep(pauseMs)
  }
  return failed
}

try {
  for (const name of ['one', 'two', 'three']) {
    process.env['ELDER_GAUGE'] = join(work, `${name}.gauge`)
    const ticket = nodes[0] === undefined ? {} : { ticket: await nodes[0].ticket() }
    nodes.push(await Headless.start({ bin: form.bin, dir: join(work, name), name, engine: 'process', slots: name === 'three' ? 0 : 1, node: ['--import', pathToFileURL(join(import.meta.dirname, 'gauge.mjs')).href], ...ticket }))
  }
  const [one, , three] = nodes as [Headless, Headless, Headless]
  const source = mkdtempSync(join(work, 'source-'))
  const watching = three.watch('status', '--watch')
  let notes = 0
  let builds = 0
  const failed = await Promise.all([
    loop(2_000, async i => { await (nodes[i % 3] as Headless).ask('stack', 'add', 'soak', '--kind', 'note', '--title', `note ${i}`, '--body', 'What was learnt, in one sentence of usual length.'); notes++ }),
    loop(8_000, async i => {
      writeFileSync(join(source, 'in.txt'), `${i}\n`)
      await [one, three][i % 2]?.ask('build', source, '--', 'sh', '-c', 'cat in.txt; seq 1000')
      builds++
    }),
    loop(everyMs, async () => {
      for (const { name, pid, dir } of nodes) console.log(JSON.stringify({ at: Date.now(), name, notes, builds, load: loadavg()[0], ...memoryOf(pid), cpuMs: cpuMsOf(pid), openFiles: openFilesOf(pid), dir: filesIn(dir), inside: inside(name) }))
    }),
  ])
  watching.kill()
  console.log(JSON.stringify({ notes, builds, failed }))
} finally {
  await Promise.all(nodes.map(node => node.stop()))
  form.remove()
  rmSync(work, { recursive: true, force: true, maxRetries: 3 })
}
