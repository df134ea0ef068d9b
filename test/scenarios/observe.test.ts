/** What a node tells those who watch it: traces in the logs of every device, pages on loopback, and no secrets in either. */
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Lab, must, project, until } from './support.ts'
import type { Node, Result } from './support.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const CALLER = `00-${TRACE}-00f067aa0ba902b7-01`
const CANARY = 'canary-7f3c1d'
const lab = new Lab()
let laptop: Node
let mini: Node
let ticket: string
/** Says the beginning of a request and waits; when the node closed it. */
let slow: { socket: Socket, closed: Promise<number> }
afterAll(() => lab[Symbol.asyncDispose]())
beforeAll(async () => {
  laptop = await lab.join('laptop')
  slow = await slowClient(await urlOf(laptop))
  ticket = await laptop.ticket()
  mini = await lab.join('mini', { slots: 1, ticket })
  for (const node of [laptop, mini]) await node.sees('laptop', 'mini')
})

const urlOf = async (node: Node): Promise<URL> => new URL(must((await node.call('status', {})).self.http ?? undefined, `${node.name} serves HTTP`))
const logOf = (node: Node): string => readFileSync(join(node.dir, 'node.log'), 'utf8')
const linesOf = (node: Node, trace: string): Array<Record<string, unknown>> => logOf(node).split('\n').filter(line => line.includes(trace)).map(line => JSON.parse(line) as Record<string, unknown>)
const valueOf = (text: string, series: string): number => Number(text.split('\n').find(line => line.startsWith(`${series} `))?.split(' ').at(-1))
const text = async (node: Node, path: string): Promise<string> => (await fetch(new URL(path, await urlOf(node)))).text()

async function slowClient (url: URL): Promise<typeof slow> {
  const fromMs = performance.now()
  const socket = connect(Number(url.port), url.hostname).on('error', () => {}).resume()
  const closed = new Promise<number>(resolve => { socket.once('close', () => { resolve(performance.now() - fromMs) }) })
  socket.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ')
  return { socket, closed }
}

test('one trace: from the caller, through requester and builder, into the environment of the build, and in both logs', async () => {
  const dir = project(lab, 'traced', { 'a.txt': 'a' })
  const { code, command } = await lab.run(laptop.dir, ['build', dir, '--', 'sh', '-c', 'echo "in the build: $TRACEPARENT"'], { env: { TRACEPARENT: CALLER } })
  expect(code, command.stdout + command.stderr).toBe(0)
  const queued = must(command.events.find(event => event.event === 'queued'), 'the build was queued')
  const result = must(command.events.find(event => event.event === 'result') as Result | undefined, 'the build ended')
  const inBuild = /in the build: (\S+)/.exec(command.printed)?.[1]
  expect(queued.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
  expect(result.traceparent).toBe(queued.traceparent)
  expect(inBuild).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
  expect(new Set([CALLER, queued.traceparent, inBuild]).size).toBe(3)
  expect(linesOf(laptop, TRACE).map(({ msg }) => msg)).toEqual(['build queued', 'build elected', 'build ended'])
  await until('the builder has put the build away', () => linesOf(mini, TRACE).length === 3)
  expect(linesOf(mini, TRACE).map(({ msg }) => msg)).toEqual(['claim', 'a build begins here', 'a build ended here'])
  for (const line of [...linesOf(laptop, TRACE), ...linesOf(mini, TRACE)]) expect(line).toMatchObject({ trace: TRACE, build: result.build })
})

test('a traceparent that is none begins a new trace', async () => {
  const { code, command } = await lab.run(laptop.dir, ['build', join(lab.temp, 'traced'), '--', 'true'], { env: { TRACEPARENT: `${CALLER}\n` } })
  const result = command.events.find(event => event.event === 'result') as Result | undefined
  expect([code, result?.traceparent?.includes(TRACE)]).toEqual([0, false])
})

test('the pages of a real node: builds are counted, both devices are there, every problem code is', async () => {
  const ready = await fetch(new URL('/readyz', await urlOf(mini)))
  expect([ready.status, await ready.json()]).toMatchObject([200, { schema: 'elder/ready.v1', ready: true, checks: { mesh: { ok: true }, engine: { ok: true } } }])
  expect((await fetch(new URL('/healthz', await urlOf(mini)))).status).toBe(200)
  await until('the builds are counted', async () => valueOf(await text(laptop, '/metrics'), 'elder_builds_total{result="success"}') === 2)
  const metrics = await until('the other device is in the metrics', async () => {
    const answer = await text(laptop, '/metrics')
    return answer.includes('elder_peer_rtt_seconds{peer="mini"') && answer
  })
  expect(metrics).toMatch(/^elder_device_up\{device="laptop"\} 1\nelder_.*/m)
  expect(valueOf(metrics, 'elder_device_up{device="mini"}')).toBe(1)
  expect(metrics).toMatch(/^elder_peer_rtt_seconds\{peer="mini",path="direct"\} 0\.\d+$/m)
  expect(valueOf(metrics, 'elder_build_slots{device="mini"}')).toBe(1)
  expect(valueOf(metrics, 'elder_build_wait_seconds_count')).toBe(2)
  expect(valueOf(metrics, 'elder_alert{code="DEVICE_DOWN"}')).toBe(0)
  expect(valueOf(metrics, 'elder_gossip_messages_total{topic="advert",direction="received"}')).toBeGreaterThan(0)
  expect(valueOf(metrics, 'process_resident_memory_bytes')).toBeGreaterThan(1e7)
})

test('other hosts, other methods and a web page get nothing', async () => {
  const { port } = await urlOf(laptop)
  const status = (method: string, headers: Record<string, string>): Promise<number | undefined> => new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/metrics', method, headers, agent: false }, response => { resolve(response.resume().statusCode) }).on('error', reject).end()
  })
  expect(await Promise.all([status('GET', { host: 'evil.example' }), status('POST', {}), status('GET', { origin: 'https://evil.example' }), status('GET', {})])).toEqual([421, 405, 403, 200])
})

test('neither a ticket nor the password of a remote is in a log, a metric or the status', async () => {
  await laptop.note('secrets', 'kept')
  expect((await laptop.run('stack', 'remote', 'add', 'secrets', `http://user:${CANARY}@127.0.0.1:9/memory.git`)).code).toBe(1)
  await laptop.ask('stack', 'remote', 'add', 'secrets', 'http://127.0.0.1:9/memory.git')
  await laptop.run('stack', 'sync', 'secrets')
  await until('the note is on both devices', async () => (await mini.digest('secrets')) !== undefined)
  const metrics = await until('the remote is in the metrics', async () => {
    const answer = await text(laptop, '/metrics')
    return answer.includes('elder_stack_git_push_timestamp_seconds{stack="secrets",remote="http://127.0.0.1:9/memory.git"} 0\n') && answer
  })
  const seen = [metrics, logOf(laptop), logOf(mini), JSON.stringify(await laptop.status())]
  for (const text of seen) expect([text.includes(CANARY), text.includes(ticket.trim())]).toEqual([false, false])
})

test('a client that does not finish its request is closed', async () => {
  expect(await slow.closed).toBeGreaterThan(1_000)
})

test('two nodes of one machine have two ports, and keep them; a SIGKILL is counted as a crash', async () => {
  const [first, second] = [await urlOf(laptop), await urlOf(mini)]
  expect(first.port).not.toBe(second.port)
  await mini.kill()
  await laptop.note('secrets', 'while mini is away')
  await mini.start()
  expect((await urlOf(mini)).href).toBe(second.href)
  const metrics = await text(mini, '/metrics')
  expect(['elder_restarts_total', 'elder_crashes_total'].map(name => valueOf(metrics, name))).toEqual([1, 1])

  // What it missed comes by an exchange, which both devices log under one trace.
  await until('mini has what it missed', async () => (await mini.digest('secrets')) !== undefined && (await mini.titles('secrets')).length === 2)
  const exchanges = (node: Node): string[] => linesOf(node, 'stacks exchanged').filter(({ reason }) => reason === 'done').map(({ trace }) => String(trace))
  await until('both log the exchange', () => exchanges(mini).some(trace => exchanges(laptop).includes(trace)))
})
