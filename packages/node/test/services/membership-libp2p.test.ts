/** The same membership as in membership.test.ts, over real doors: libp2p on loopback, files on disk. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/adapters/clock.ts'
import { nodeCrypto, randomBytes, signerFromSeed } from '../../src/adapters/crypto.ts'
import { dataDirAt, prepareDataDir } from '../../src/adapters/data-dir.ts'
import { privateFiles } from '../../src/adapters/private-files.ts'
import { openIdentity } from '../../src/adapters/identity.ts'
import { createMesh, type Libp2pMesh } from '../../src/adapters/libp2p/mesh.ts'
import type { Membership } from '../../src/services/membership.ts'
import { openMembership } from '../../src/services/membership/open-membership.ts'
import { eventually } from '../support/eventually.ts'

const root = mkdtempSync(join(tmpdir(), 'elder-doors-'))
afterAll(() => { rmSync(root, { recursive: true, force: true }) })

interface Node { mesh: Libp2pMesh, membership: Membership, name: string, stop: () => Promise<void> }

async function node (name: string, ticket?: string): Promise<Node> {
  const dir = dataDirAt(join(root, name))
  prepareDataDir(dir)
  const { signer, seed } = openIdentity(dir.key, randomBytes)
  const components = { crypto: nodeCrypto(), signer, signerFromSeed, clock: systemClock, random: randomBytes, files: privateFiles(dir.mesh) }
  const { membership } = openMembership(components, { deviceName: name, ...(ticket !== undefined ? { ticket } : {}) })
  const log = { debug () {}, info () {}, warn () {}, error () {} }
  const mesh = createMesh({ seed, admission: membership, clock: systemClock, log }, { listen: ['/ip4/127.0.0.1/tcp/0'] })
  membership.attach(mesh)
  await mesh.start()
  membership.start()
  const stop = async (): Promise<void> => {
    membership.stop()
    await mesh.stop()
  }
  onTestFinished(stop)
  return { mesh, membership, name, stop }
}

const names = ({ membership }: Node): string[] => [...membership.roster.members.values()].map(member => member.name).sort()

test('found, join, be carried to the issuer, restart, be evicted and told', { timeout: 120_000 }, async () => {
  const founder = await node('mini')
  const pi = await node('pi', founder.membership.invite().ticket)
  await pi.membership.joined({ signal: AbortSignal.timeout(10_000) })
  expect(names(pi)).toEqual(['mini', 'pi'])

  // The ticket names only the door of a member that is not its issuer.
  const carried = founder.membership.invite({ addresses: pi.mesh.addresses() }).ticket
  const laptop = await node('laptop', carried)
  await laptop.membership.joined({ signal: AbortSignal.timeout(10_000) })
  await eventually(() => { for (const one of [founder, pi, laptop]) expect(names(one)).toEqual(['laptop', 'mini', 'pi']) })

  const late = await node('late', carried)
  await expect(late.membership.joined({ signal: AbortSignal.timeout(10_000) })).rejects.toThrow(expect.objectContaining({ code: 'TICKET_USED' }) as Error)

  await pi.stop()
  const again = await node('pi')
  await eventually(() => { expect(again.mesh.peers().length).toBeGreaterThan(0) })

  await founder.membership.evict('laptop')
  await eventually(() => { for (const one of [founder, again]) expect(one.mesh.peers().map(({ device }) => device)).not.toContain(laptop.membership.self) })
  expect((await laptop.membership.evicted).code).toBe('EVICTED')
  expect(names(again)).toEqual(['mini', 'pi'])
})
