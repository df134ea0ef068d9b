import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { freePort, isTaken, lentPorts } from '../../src/adapters/free-ports.ts'
import { choosePorts, keepPorts } from '../../src/adapters/listen-ports.ts'

const holders: Server[] = []
afterEach(async () => { for (const holder of holders.splice(0)) await new Promise(resolve => { holder.close(resolve) }) })

/** Another program that listens on a port. */
async function held (host = '127.0.0.1', port = 0): Promise<number> {
  const holder = createServer()
  holders.push(holder)
  await new Promise<void>((resolve, reject) => { holder.once('error', reject).listen({ host, port, exclusive: true }, resolve) })
  return (holder.address() as AddressInfo).port
}

const LOOPBACK = '/ip4/127.0.0.1/tcp/0'
const portIn = (address: string | undefined): number => Number(/\/tcp\/(\d+)$/.exec(address ?? '')?.[1])

describe('a free port', () => {
  test('is none that the system lends to outgoing connections', async () => {
    const [low, high] = lentPorts()
    for (let i = 0; i < 50; i++) {
      const port = await freePort('127.0.0.1', Math.random)
      expect(port < low || port > high).toBe(true)
      expect(port).toBeGreaterThanOrEqual(10_000)
    }
    expect(lentPorts('32768\t60999\n')).toEqual([32_768, 60_999])
    expect(lentPorts('')).toEqual([49_152, 65_535])
  })

  test('is none that is taken; the system chooses where it lends every port', async () => {
    const taken = await freePort('127.0.0.1', Math.random)
    await held('127.0.0.1', taken)
    expect(await isTaken('127.0.0.1', taken)).toBe(true)
    // The first draw is the port that is taken, of those from 10,000 up to 49,151.
    const draws = [(taken - 10_000 + 0.5) / 39_152].values()
    const found = await freePort('127.0.0.1', () => draws.next().value ?? Math.random(), [49_152, 65_535])
    expect([found, taken].every(port => port >= 10_000)).toBe(true)
    expect(found).not.toBe(taken)
    expect(await freePort('127.0.0.1', Math.random, [1024, 65_535])).toBe(0)
  })
})

describe('the ports of a node', () => {
  test('a port 0 is chosen outside of the lent range, kept, and found again', async () => {
    const first = await choosePorts([LOOPBACK], {}, Math.random)
    const port = portIn(first.listen[0])
    const [low, high] = lentPorts()
    expect(port > 0 && (port < low || port > high)).toBe(true)
    expect(first).toEqual({ listen: [`/ip4/127.0.0.1/tcp/${port}`], ports: { [LOOPBACK]: port }, moved: [] })
    expect(await choosePorts([LOOPBACK], first.ports, Math.random)).toEqual(first)
  })

  test('a kept port that another program holds is replaced and told; a named one is left as it is', async () => {
    const taken = await held()
    const { listen, ports, moved } = await choosePorts([LOOPBACK], { [LOOPBACK]: taken, http: 1 }, Math.random)
    expect(portIn(listen[0])).not.toBe(taken)
    expect(ports).toEqual({ [LOOPBACK]: portIn(listen[0]), http: 1 })
    expect(moved).toEqual([{ from: taken, to: portIn(listen[0]), holder: process.platform === 'linux' ? { pid: process.pid, name: expect.any(String) as string } : undefined }])
    const named = [`/ip4/127.0.0.1/tcp/${taken}`, '/dns4/x.example/tcp/0']
    expect(await choosePorts(named, {}, Math.random)).toEqual({ listen: named, ports: {}, moved: [] })
  })

  test('without a word it is every interface, on one port', async () => {
    const { listen, ports, moved } = await choosePorts(undefined, {}, Math.random)
    expect(listen.map(address => address.replace(/\d+$/, ''))).toEqual(['/ip4/0.0.0.0/tcp/', '/ip6/::/tcp/'])
    expect(new Set(listen.map(portIn)).size).toBe(1)
    expect(Object.values(ports)).toEqual(listen.map(portIn))
    expect(moved).toEqual([])
  })

  test('what the system chose is kept after the start', () => {
    const chosen = { listen: [LOOPBACK], ports: { [LOOPBACK]: 0, http: 4708 }, moved: [] }
    expect(keepPorts(chosen, [LOOPBACK, '/ip4/10.0.0.1/tcp/80'], ['/ip4/127.0.0.1/tcp/40001/p2p/x'])).toEqual({ [LOOPBACK]: 40_001, http: 4708 })
    expect(keepPorts({ ...chosen, ports: { [LOOPBACK]: 12_345 } }, [LOOPBACK], ['/ip4/127.0.0.1/tcp/40001'])).toEqual({ [LOOPBACK]: 12_345 })
  })
})
