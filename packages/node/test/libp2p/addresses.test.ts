import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { announceable, dialable } from '../../src/adapters/libp2p/addresses.ts'
import { serviceTag } from '../../src/adapters/libp2p/mdns.ts'
import { capabilityKey } from '../../src/adapters/libp2p/directory.ts'
import { listeningInodes, portHolder } from '../../src/adapters/port-holder.ts'
import { needs } from '../support/when.ts'

const lan = '/ip4/192.168.1.5/tcp/4707'
const loopback = '/ip4/127.0.0.1/tcp/4707'
const docker = '/ip4/172.17.0.1/tcp/4707'
const linkLocal = ['/ip4/169.254.3.4/tcp/4707', '/ip6/fe80::1/tcp/4707']
const interfaces = [{ name: 'docker0', address: '172.17.0.1' }, { name: 'eth0', address: '192.168.1.5' }]
const ANY = ['/ip4/0.0.0.0/tcp/4707']

describe('addresses', () => {
  test('private ones stay, container bridges, link-local and loopback go', () => {
    expect(announceable([loopback, docker, ...linkLocal, lan], ANY, interfaces)).toEqual([lan])
  })

  test('loopback when it was asked for, and when there is nothing else', () => {
    expect(announceable([loopback, lan], [loopback, ...ANY], interfaces)).toEqual([loopback, lan])
    expect(announceable([loopback, docker], ANY, interfaces)).toEqual([loopback])
  })

  test('inside a container the same range is the way out', () => {
    expect(announceable([loopback, '/ip4/172.17.0.5/tcp/4707'], ANY, [{ name: 'eth0', address: '172.17.0.5' }])).toEqual(['/ip4/172.17.0.5/tcp/4707'])
  })

  test('names and relays are left to whoever wrote them', () => {
    const named = ['/dns4/vps.example/tcp/4707', '/ip4/10.0.0.1/tcp/1/p2p/x/p2p-circuit']
    expect(announceable(named, ANY, [])).toEqual(named)
  })

  test('of another device: its loopback only when it names nothing else', () => {
    expect(dialable([loopback, lan, ...linkLocal])).toEqual([lan])
    expect(dialable([loopback])).toEqual([loopback])
    expect(dialable(linkLocal)).toEqual([])
  })
})

test('the mDNS tag is the same for a mesh, another for another, and fits a DNS label', () => {
  const one = serviceTag(new Uint8Array(32).fill(1))
  expect(one).toBe(serviceTag(new Uint8Array(32).fill(1)))
  expect(one).not.toBe(serviceTag(new Uint8Array(32).fill(2)))
  expect(one).toMatch(/^_elder-[a-z2-7]{16}\._udp\.local$/)
})

test('a capability has one key on every device', () => {
  expect(capabilityKey('builder/linux/x64').toString()).toBe('bafkreifwp3d25637dax2kzttudkccrxqbuiafnim3lm4n2wbknahl5jcle')
})

describe('the holder of a port', () => {
  test('is read from the kernel table: listening sockets of this port only', () => {
    const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1263 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100
   1: 0100007F:1263 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100
   2: 0100007F:1264 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0 100`
    expect(listeningInodes(table, 4707)).toEqual(['4242'])
  })

  test.runIf(needs(process.platform === 'linux', 'Linux: /proc names the holder of a port'))('is this process when this process listens, and nobody when nobody does', async () => {
    const server = createServer()
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    const { port } = server.address() as AddressInfo
    onTestFinished(() => { server.close() })
    expect((await portHolder(port))?.pid).toBe(process.pid)
    await new Promise(resolve => { server.close(resolve) })
    expect(await portHolder(port)).toBeUndefined()
  })
})
