/** One headless node among peers: what it weighs at each station of a working day, and what it costs to do nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serveGit } from '@elder-node/crdt-stack/git'
import type { Form } from './form.ts'
import { Headless } from './headless.ts'
import { Device } from './lab.ts'
import { bytesSentBy, cpuMsOf, memoryOf, openFilesOf } from './proc.ts'
import type { Report } from './report.ts'
import { sleep } from './stats.ts'

export interface HeadlessCounts { peers: number, headlessEntries: number, headlessBuilds: number, idleTicksMs: number }

const SYNC_MS = 900_000

/** The node that is weighed is the founder; one of the peers is the harness's writer, all others are as it is. */
export async function measureHeadless (report: Report, form: Form, counts: HeadlessCounts): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-bench-'))
  const nodes: Headless[] = []
  const writer = new Device('writer', form.device)
  const server = await serveGit({ root: dir })
  const start = async (name: string): Promise<Headless> => {
    const ticket = nodes[0] === undefined ? {} : { ticket: await nodes[0].ticket() }
    const node = await Headless.start({ bin: form.bin, dir: join(dir, name), name, ...nodes[0] === undefined ? { engine: 'process', slots: 1 } : {}, ...ticket })
    nodes.push(node)
    return node
  }
  try {
    const node = await start('weighed')
    const station = stationOf(report, node, counts.peers)
    await sleep(counts.idleTicksMs / 20)
    station('alone', 'alone, ready')
    const init = { dir: join(dir, 'writer'), name: 'writer', listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, slots: 0, engine: 'noop' as const, explore: 0, ticket: await node.ticket() }
    await writer.ask({ do: 'start', init })
    const before = cpuMsOf(node.pid)
    await writer.ask({ do: 'fill', stack: 'bench', count: counts.headlessEntries }, SYNC_MS)
    await until(async () => (await entriesOf(node)) === counts.headlessEntries)
    report.add({ id: 'headless-sync-cpu', what: `its CPU time while ${counts.headlessEntries} entries came, one by one`, unit: 'ms', devices: 2, ours: [cpuMsOf(node.pid) - before] })
    station('entries', `with 1 peer and ${counts.headlessEntries} entries`)
    for (let i = 1; i < counts.peers; i++) await start(`peer-${i}`)
    for (const other of nodes) await until(async () => (await entriesOf(other)) === counts.headlessEntries)
    await sleep(counts.idleTicksMs / 10)
    station('peers', `with ${counts.peers} peers, every one has fetched them`, '<= 130')
    await buildTimes(nodes.at(-1) ?? node, counts.headlessBuilds)
    await node.ask('stack', 'remote', 'add', 'bench', await server.create('memory.git'))
    await node.ask('--timeout', '300s', 'stack', 'sync', 'bench')
    station('work', `and after ${counts.headlessBuilds} builds and a mirror push`)
    await idle(report, nodes, counts)
    station('rest', 'and after resting')
  } finally {
    await Promise.all([writer.ask({ do: 'stop' }, 15_000).catch(() => {}).then(() => { writer.kill() }), ...nodes.map(node => node.stop())])
    await server.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

function stationOf (report: Report, { pid }: Headless, peers: number): (id: string, what: string, target?: string) => void {
  return (id, what, target) => {
    const { rssBytes, pssBytes, privateBytes, peakBytes } = memoryOf(pid)
    const row = (kind: string, text: string, bytes: number): void => { report.add({ id: `headless-${kind}-${id}`, what: `${text}, ${what}`, unit: 'MB', devices: id === 'alone' ? 1 : id === 'entries' ? 2 : peers + 1, ours: [bytes / 1e6], ...target === undefined || kind !== 'rss' ? {} : { target } }) }
    row('rss', 'RSS', rssBytes)
    row('private', 'of that its own (private dirty)', privateBytes)
    row('pss', 'its share where pages are shared (PSS)', pssBytes)
    row('peak', 'the most so far (VmHWM)', peakBytes)
    report.say(`  open files: ${openFilesOf(pid)}`)
  }
}

/** Ticks of every headless node and what the kernel says of their sockets, over a time in which nothing is asked. */
async function idle (report: Report, nodes: Headless[], { idleTicksMs, peers }: HeadlessCounts): Promise<void> {
  const look = (): Array<{ cpuMs: number, sent: Map<string, number> }> => nodes.map(({ pid }) => ({ cpuMs: cpuMsOf(pid), sent: bytesSentBy(pid) }))
  const from = performance.now()
  const before = look()
  await sleep(idleTicksMs)
  const after = look()
  const ms = performance.now() - from
  const cpu = after.map(({ cpuMs }, i) => (cpuMs - (before[i]?.cpuMs ?? 0)) / ms * 100)
  // What a connection sent that was closed meanwhile is not known.
  const sent = after.map((now, i) => [...now.sent].reduce((sum, [ends, bytes]) => sum + bytes - (before[i]?.sent.get(ends) ?? 0), 0) / ms * 1000)
  const devices = peers + 1
  report.add({ id: 'headless-idle-cpu', what: `idle CPU of each headless node, ${idleTicksMs / 1000} s, after that work`, unit: '% of a core', devices, ours: cpu, target: '< 1' })
  report.add({ id: 'headless-idle-bytes', what: 'idle traffic sent by each, as the kernel counts', unit: 'B/s', devices, ours: sent })
}

async function buildTimes (requester: Headless, times: number): Promise<void> {
  const source = mkdtempSync(join(tmpdir(), 'elder-bench-src-'))
  try {
    for (let i = 0; i < times; i++) {
      writeFileSync(join(source, 'in.txt'), `${i}\n`)
      await requester.ask('build', source, '--', 'sh', '-c', 'cat in.txt; seq 10000')
    }
  } finally {
    rmSync(source, { recursive: true, force: true })
  }
}

async function entriesOf (node: Headless): Promise<number> {
  const { stacks } = JSON.parse(await node.ask('stack', 'list', '--json')) as { stacks: Array<{ entries: number }> }
  return stacks[0]?.entries ?? 0
}

async function until (check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + SYNC_MS
  while (!await check()) {
    if (performance.now() > end) throw new Error('what was waited for did not come')
    await sleep(1_000)
  }
}
