import { createServer, request, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHttp } from '../../src/gateway/http/open.ts'
import { serveHttp, type HttpServer } from '../../src/gateway/http/server.ts'
import type { Readiness } from '../../src/services/telemetry/readiness.ts'

interface Answer { status: number, headers: IncomingHttpHeaders, body: string }

let ready = true
let scrapes = 0
const check = { ok: true, message: 'm' }
const NODE = {
  readiness: (): Readiness => ({ ready, checks: { mesh: { ok: ready, message: 'starting' }, engine: check, stacks: check, mirror: { ...check, advisory: true } } }),
  samples: () => [{ name: 'elder_stacks' as const, labels: {}, value: ++scrapes }],
}
let server: HttpServer
beforeAll(async () => { server = await serveHttp(NODE, { host: '127.0.0.1', port: 0 }) })
afterAll(() => server.close())

function get (path: string, options: RequestOptions = {}, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path, agent: false, ...options }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }) })
    })
    asked.on('error', reject).end(body)
  })
}

test('the pages, their types, and what a browser must not do with them', async () => {
  expect(await get('/healthz')).toMatchObject({ status: 200, body: '{"schema":"elder/health.v1","ok":true}\n', headers: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'cross-origin-resource-policy': 'same-origin' } })
  const metrics = await get('/metrics?x=1')
  expect(metrics).toMatchObject({ status: 200, headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' } })
  expect(metrics.body).toContain('# TYPE elder_stacks gauge\nelder_stacks ')
  expect(metrics.headers).not.toHaveProperty('access-control-allow-origin')
  expect((await get('/')).status).toBe(200)
  const none = await get('/etc/passwd')
  expect([none.status, JSON.parse(none.body)]).toEqual([404, { error: { code: 'NO_SUCH_PAGE', message: expect.any(String) as string, fix: '' } }])
  expect((await get('/metrics/../x')).status).toBe(404)
})

test('HEAD has the length and no body', async () => {
  const head = await get('/healthz', { method: 'HEAD' })
  expect([head.status, head.headers['content-length'], head.body]).toEqual([200, '39', ''])
})

test('not ready is 503, with the reason', async () => {
  ready = false
  const other = await serveHttp(NODE, { host: '127.0.0.1', port: 0 })
  try {
    const answer = await get('/readyz', { port: other.port })
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.body)).toMatchObject({ schema: 'elder/ready.v1', ready: false, checks: { mesh: { ok: false, message: 'starting' } } })
  } finally {
    ready = true
    await other.close()
  }
})

test.each<[string, RequestOptions, number, string?]>([
  ['a name that was rebound', { headers: { host: 'evil.example' } }, 421, 'HTTP_HOST'],
  ['a name that begins like ours', { headers: { host: 'localhost.evil.example' } }, 421, 'HTTP_HOST'],
  ['another address', { headers: { host: '10.0.0.1:4708' } }, 421, 'HTTP_HOST'],
  ['a user in the host', { headers: { host: 'localhost@evil.example' } }, 421, 'HTTP_HOST'],
  ['localhost', { headers: { host: 'LocalHost:9999' } }, 200],
  ['IPv6 loopback', { headers: { host: '[::1]:9' } }, 200],
  ['a page of another site', { headers: { origin: 'https://evil.example' } }, 403, 'HTTP_ORIGIN'],
  ['a sandboxed page', { headers: { origin: 'null' } }, 403, 'HTTP_ORIGIN'],
  ['a link on another site', { headers: { 'sec-fetch-site': 'cross-site' } }, 403, 'HTTP_ORIGIN'],
  ['a page of this server', { headers: { origin: 'http://127.0.0.1:4708' } }, 200],
  ['POST', { method: 'POST' }, 405, 'HTTP_METHOD'],
  ['DELETE', { method: 'DELETE' }, 405, 'HTTP_METHOD'],
  ['OPTIONS: no CORS', { method: 'OPTIONS', headers: { origin: 'http://127.0.0.1' } }, 405, 'HTTP_METHOD'],
])('%s', async (_what, options, status, code) => {
  const answer = await get('/metrics', options)
  expect(answer.status).toBe(status)
  expect(answer.body.includes('elder_stacks')).toBe(status === 200)
  if (code !== undefined) expect(JSON.parse(answer.body)).toMatchObject({ error: { code } })
})

test('a body is not read, and ends the connection', async () => {
  const answer = await get('/metrics', { headers: { 'content-length': '4' } }, 'body')
  expect([answer.status, answer.headers.connection]).toEqual([413, 'close'])
  expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'HTTP_BODY' } })
})

test('a page that cannot be made says why, and the others go on', async () => {
  const broken = await serveHttp({ ...NODE, readiness: () => { throw new Error('the clock is gone') } }, { host: '127.0.0.1', port: 0 })
  try {
    const { status, body } = await get('/readyz', { port: broken.port })
    expect([status, JSON.parse(body)]).toEqual([500, { error: { code: 'HTTP_FAILED', message: 'the clock is gone', fix: '' } }])
    expect((await get('/healthz', { port: broken.port })).status).toBe(200)
  } finally {
    await broken.close()
  }
})

test('headers beyond their bound are refused', async () => {
  expect((await get('/metrics', { headers: { x: 'a'.repeat(20_000) } })).status).toBe(431)
})

test('however often somebody asks, the figures are taken once a second', async () => {
  const before = scrapes
  const from = performance.now()
  for (let i = 0; i < 50; i++) await get('/metrics')
  expect(scrapes - before).toBeLessThanOrEqual(2 + (performance.now() - from) / 1000)
})

test('connections beyond the bound are closed, and room comes back', async () => {
  const open = Array.from({ length: 40 }, () => connect(server.port, '127.0.0.1').on('error', () => {}))
  const closed = await Promise.race(open.map(async socket => { await new Promise(resolve => { socket.once('close', resolve) }); return true }))
  expect(closed).toBe(true)
  for (const socket of open) socket.destroy()
  await expect.poll(async () => (await get('/healthz').catch(() => ({ status: 0 }))).status, { timeout: 30_000 }).toBe(200)
})

test('close ends a client that waits', async () => {
  const other = await serveHttp(NODE, { host: '127.0.0.1', port: 0 })
  const socket = connect(other.port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  socket.write('GET /healthz HT')
  const gone = new Promise(resolve => { socket.once('close', resolve) })
  await other.close()
  await gone
})

const random = Math.random

test('the port: off is off; a free one is kept; a kept one that is taken is replaced and told, one that was asked for an error', async () => {
  expect(await openHttp(NODE, { listen: 'off', kept: 1 }, random)).toEqual({ server: undefined, problems: [], keep: {} })
  const first = await openHttp(NODE, { listen: 'auto', kept: undefined }, random)
  const second = await openHttp(NODE, { listen: 'auto', kept: undefined }, random)
  expect(first.keep.http).not.toBe(second.keep.http)
  await Promise.all([first.server?.close(), second.server?.close()])
  const again = await openHttp(NODE, { listen: 'auto', kept: second.keep.http }, random)
  expect(again.keep).toEqual(second.keep)
  await again.server?.close()

  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  try {
    const moved = await openHttp(NODE, { listen: 'auto', kept: port }, random)
    expect(moved).toMatchObject({ problems: [{ code: 'PORT_MOVED', message: expect.stringContaining(`Port ${port} is held by process ${process.pid}`) as string }] })
    expect(moved.keep.http).not.toBe(port)
    expect(moved.server?.port).toBe(moved.keep.http)
    await moved.server?.close()
    await expect(openHttp(NODE, { listen: `127.0.0.1:${port}`, kept: undefined }, random)).rejects.toMatchObject({ code: 'PORT_IN_USE', message: expect.stringContaining(`port ${port} is held by`) })
    await expect(openHttp(NODE, { listen: 'nonsense', kept: undefined }, random)).rejects.toMatchObject({ code: 'HTTP_LISTEN' })
  } finally {
    holder.close()
  }
})
