import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { announceable, dialable } from '../../src/adapters/libp2p/addresses.ts'
import type { InterfaceAddress } from '../../src/adapters/libp2p/addresses.ts'
import { dialOrder } from '../../src/adapters/libp2p/dial-order.ts'
import { serviceTag } from '../../src/adapters/libp2p/mdns.ts'
import { capabilityKey } from '../../src/adapters/libp2p/directory.ts'
import { listeningInodes, portHolder } from '../../src/adapters/port-holder.ts'
import { needs } from '../support/when.ts'

const lan = '/ip4/192.168.1.5/tcp/4707'
const loopback = '/ip4/127.0.0.1/tcp/4707'
const docker = '/ip4/172.17.0.1/tcp/4707'
const linkLocal = ['/ip4/169.254.3.4/tcp/4707', '/ip6/fe80::1/tcp/4707']
const ANY = ['/ip4/0.0.0.0/tcp/4707', '/ip6/::/tcp/4707']

/** `ip -br addr` of real machines, `name address/length ...` a line. */
function interfacesOf (text: string): InterfaceAddress[] {
  return text.trim().split('\n').flatMap(line => {
    const [name = '', ...cidrs] = line.trim().split(/\s+/)
    return cidrs.map(cidr => ({ name, address: cidr.split('/')[0] ?? '', cidr }))
  })
}

/** What a listener on every interface would say. */
function listenersOf (interfaces: InterfaceAddress[]): string[] {
  return interfaces.map(({ address }) => `/${address.includes(':') ? 'ip6' : 'ip4'}/${address}/tcp/4707`)
}

function announced (text: string, announce: string[] = []): string[] {
  const interfaces = interfacesOf(text)
  return announceable({ addresses: [...listenersOf(interfaces), ...announce], listen: ANY, announce, interfaces })
    .map(address => /^\/ip[46]\/([^/]+)\/tcp\/4707$/.exec(address)?.[1] ?? address)
}

const LAPTOP = `
  lo 127.0.0.1/8 ::1/128
  wlp3s0 192.168.1.5/24 2003:ed:1f00::5/64 2003:ed:1f00:0:8c1:1:2:3/64 2003:ed:1f00:0:9d2:4:5:6/64 fd00:1::5/64 fe80::a1/64
  docker0 172.17.0.1/16 fe80::42/64
  br-3f2a9c01d4e7 172.18.0.1/16
  veth9a1b2c3 fe80::99/64
  virbr0 192.168.122.1/24
  tailscale0 100.101.102.103/32 fd7a:115c:a1e0::1/128 fe80::7/64
  wg0 10.8.0.2/24`
const MAC = `
  lo0 127.0.0.1/8 ::1/128 fe80::1/64
  en0 192.168.178.20/24 fe80::10/64
  en7 192.168.178.21/24
  awdl0 fe80::d4/64
  bridge100 192.168.64.1/24
  utun4 100.64.0.9/32`
const VPS = `
  lo 127.0.0.1/8 ::1/128
  eth0 198.51.100.7/20 2001:db9::7/64 fe80::9/64
  docker0 172.17.0.1/16`
const OPENWRT = `
  lo 127.0.0.1/8
  br-lan 192.168.1.1/24 fd11::1/60
  wan 100.72.9.4/10`
const WINDOWS = `
  Ethernet 192.168.0.9/24
  vEthernet_WSL 172.29.16.1/20
  Tailscale 100.90.1.2/32`

describe('addresses', () => {
  test.each([
    ['a laptop: the LAN, two VPNs, then the internet; no bridge, no link-local, and of its IPv6 addresses two', LAPTOP,
      ['192.168.1.5', 'fd00:1::5', '100.101.102.103', '10.8.0.2', 'fd7a:115c:a1e0::1', '2003:ed:1f00::5', '2003:ed:1f00:0:8c1:1:2:3']],
    ['a Mac on Wi-Fi and cable', MAC, ['192.168.178.20', '192.168.178.21', '100.64.0.9']],
    ['a rented server', VPS, ['198.51.100.7', '2001:db9::7']],
    ['a router: its own bridge is a network of people', OPENWRT, ['192.168.1.1', 'fd11::1', '100.72.9.4']],
    ['Windows with WSL', WINDOWS, ['192.168.0.9', '100.90.1.2']],
    ['a container: the range of a bridge is the way out', 'lo 127.0.0.1/8\neth0 172.17.0.5/16', ['172.17.0.5']],
    ['no network at all: loopback is better than nothing', 'lo 127.0.0.1/8\ndocker0 172.17.0.1/16', ['127.0.0.1']],
  ])('of %s', (_what, interfaces, expected) => {
    expect(announced(interfaces)).toEqual(expected)
  })

  test('what is announced by hand comes besides, after them, and as it is', () => {
    expect(announced('eth0 192.168.1.5/24', ['/dns4/home.example/tcp/4707', docker])).toEqual(['192.168.1.5', '/dns4/home.example/tcp/4707', '172.17.0.1'])
    expect(announced('docker0 172.17.0.1/16', [docker])).toEqual(['172.17.0.1'])
    const withPeer = announceable({ addresses: [`${docker}/p2p/12D3`], listen: ANY, announce: [docker], interfaces: interfacesOf('docker0 172.17.0.1/16') })
    expect(withPeer).toEqual([`${docker}/p2p/12D3`])
  })

  test('loopback when it was asked for; duplicates once; never nothing', () => {
    const interfaces = interfacesOf('lo 127.0.0.1/8\neth0 192.168.1.5/24')
    expect(announceable({ addresses: [loopback, lan, lan], listen: [loopback, ...ANY], announce: [], interfaces })).toEqual([loopback, lan])
    expect(announceable({ addresses: [docker], listen: ANY, announce: [], interfaces: interfacesOf('docker0 172.17.0.1/16') })).toEqual([docker])
    expect(announceable({ addresses: [], listen: ANY, announce: [], interfaces })).toEqual([])
  })

  test('of another device: its loopback only when it names nothing else', () => {
    expect(dialable([loopback, lan, ...linkLocal])).toEqual([lan])
    expect(dialable([loopback])).toEqual([loopback])
    expect(dialable(linkLocal)).toEqual([])
  })
})

describe('the order of dials', () => {
  const relayed = '/ip4/198.51.100.7/tcp/4707/p2p/12D3/p2p-circuit'
  const laptop = interfacesOf(LAPTOP)
  const at = (ip: string): string => `/${ip.includes(':') ? 'ip6' : 'ip4'}/${ip}/tcp/4707`

  test('a network that both are on, a VPN, the internet, private networks elsewhere, a relay', () => {
    const addresses = [relayed, at('10.0.0.4'), at('203.0.113.9'), '/dns4/home.example/tcp/1', at('100.99.1.1'), at('fd00:1::9'), at('192.168.1.77')]
    expect(dialOrder([...addresses, at('192.168.1.77')], laptop)).toEqual(
      [at('fd00:1::9'), at('192.168.1.77'), at('100.99.1.1'), at('203.0.113.9'), '/dns4/home.example/tcp/1', at('10.0.0.4'), relayed])
  })

  test('a VPN that is not ours, and a bridge of ours, are no ways', () => {
    expect(dialOrder([at('100.99.1.1'), at('203.0.113.9')], interfacesOf('eth0 192.168.1.5/24'))).toEqual([at('203.0.113.9'), at('100.99.1.1')])
    expect(dialOrder([at('172.17.0.9'), at('203.0.113.9')], laptop)).toEqual([at('203.0.113.9'), at('172.17.0.9')])
  })

  test('whatever a peer writes for an IP is sorted, not thrown over', () => {
    expect(dialOrder(['/ip4/not-an-ip/tcp/1', at('192.168.1.9')], laptop)).toEqual([at('192.168.1.9'), '/ip4/not-an-ip/tcp/1'])
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
