/** What every Admission must do: the membership of a node, and its doubles in tests. */
import { describe, expect, test } from 'vitest'
import { ElderError, encode, LIMITS, peerIdOf, type DeviceId } from '@elder-node/protocol'
import type { Admission } from '../../src/ports/admission.ts'
import type { Doorkeeper } from '../support/memory-roster.ts'

interface Party<A> { id: DeviceId, door: A }

export interface AdmissionPlace<A> {
  /** Two members who know each other. */
  host: Party<A>
  member: Party<A>
  /** Of another mesh. */
  stranger: Party<A>
  /** The host learns that the device is out; rejects when it is out already. */
  remove (device: DeviceId): Promise<void>
}

export interface AdmissionAcceptance<A> { make (): Promise<AdmissionPlace<A>> }

const options = { signal: new AbortController().signal }
const NONE = [null, 7, '', [], {}, new Uint8Array(3), { v: 1, proof: [new Uint8Array(3)] }]

export function doorAcceptance<A extends Doorkeeper> (name: string, { make }: AdmissionAcceptance<A>): void {
  describe(`${name}: the door`, () => {
    test('lets a member in, and a member knows its host', async () => {
      const { host, member } = await make()
      const hello = member.door.hello(host.id)
      const verdict = await host.door.decide(member.id, hello, options)
      expect(verdict).toMatchObject({ ok: true })
      if (verdict.ok) member.door.greeted(host.id, verdict.answer)
      expect([host.door.role(member.id), member.door.role(host.id)]).not.toContain(undefined)
      const sent = [hello, verdict.ok ? verdict.answer : null].map(value => encode(value).length)
      expect(Math.max(...sent)).toBeLessThanOrEqual(LIMITS.doorBytesMax)
    })

    test('lets no stranger in, whatever it shows, and never throws; a stranger as host is found out', async () => {
      const { host, member, stranger } = await make()
      for (const hello of [stranger.door.hello(host.id), member.door.hello(host.id), ...NONE]) {
        expect(await host.door.decide(stranger.id, hello, options)).toMatchObject({ ok: false })
      }
      expect(host.door.role(stranger.id)).toBeUndefined()
      const own = await stranger.door.decide(stranger.id, stranger.door.hello(stranger.id), options)
      for (const answer of [own.ok ? own.answer : expect.fail(), ...NONE]) {
        expect(() => { member.door.greeted(stranger.id, answer) }).toThrow(ElderError)
      }
    })

    test('tells once that a device is out, which has no role any more; then the door is shut', async () => {
      const { host, member, remove } = await make()
      const hello = member.door.hello(host.id)
      const heard: unknown[] = []
      host.door.onRemoved(() => { heard.push('never') })()
      host.door.onRemoved(device => { heard.push([device, host.door.role(device)]) })
      await remove(member.id)
      await remove(member.id).catch(() => {})
      expect(heard).toEqual([[member.id, undefined]])
      const verdict = await host.door.decide(member.id, hello, options)
      expect(verdict).toMatchObject({ ok: false, code: 'revoked', proof: expect.anything() as unknown })
      if (!verdict.ok) member.door.refused(host.id, verdict.code, verdict.proof)
    })

    test('a refusal that proves nothing changes nothing', async () => {
      const { host, member } = await make()
      for (const proof of [undefined, ...NONE]) member.door.refused(host.id, 'revoked', proof)
      expect(member.door.role(host.id)).toBeDefined()
      expect(await host.door.decide(member.id, member.door.hello(host.id), options)).toMatchObject({ ok: true })
    })
  })
}

export function admissionAcceptance<A extends Admission> (name: string, { make, joiner }: AdmissionAcceptance<A> & {
  /** Somebody who has a ticket of the host with these addresses, and nothing else. */
  joiner (place: AdmissionPlace<A>, addresses: string[]): Promise<A>
}): void {
  doorAcceptance(name, { make })

  describe(`${name}: members`, () => {
    const addressOf = (device: DeviceId, port: number): string => `/ip4/192.0.2.1/tcp/${port}/p2p/${peerIdOf(device)}`

    test('share a name and a secret that nobody else has', async () => {
      const { host, member, stranger } = await make()
      expect([member.door.meshId, member.door.meshSecret]).toEqual([host.door.meshId, host.door.meshSecret])
      expect(host.door.meshSecret).toHaveLength(32)
      expect(stranger.door.meshId).not.toBe(host.door.meshId)
      expect(stranger.door.meshSecret).not.toEqual(host.door.meshSecret)
    })

    test('are listed with their addresses, the newest first, and nobody else is', async () => {
      const { host, member, stranger } = await make()
      const [old, young] = [addressOf(member.id, 1), addressOf(member.id, 2)]
      host.door.learned(member.id, [old])
      host.door.learned(member.id, [young, addressOf(stranger.id, 3)])
      host.door.learned(stranger.id, [addressOf(stranger.id, 1)])
      host.door.learned(host.id, [addressOf(host.id, 1)])
      const listed = host.door.members()
      expect(listed).toEqual([{ device: member.id, addresses: [young, old] }])
      listed.pop()?.addresses.pop()
      expect(host.door.members()).toEqual([{ device: member.id, addresses: [young, old] }])
    })

    test('are not listed once they are out', async () => {
      const { host, member, remove } = await make()
      expect(host.door.isRevoked(member.id)).toBe(false)
      await remove(member.id)
      expect(host.door.isRevoked(member.id)).toBe(true)
      expect(host.door.members()).toEqual([])
    })

    test('are, to who is joining, those that its ticket names', async () => {
      const place = await make()
      const [host, member] = [place.host.id, place.member.id]
      const joining = await joiner(place, [addressOf(host, 1), addressOf(member, 2), addressOf(host, 3)])
      expect(joining.members()).toEqual([
        { device: host, addresses: [addressOf(host, 1), addressOf(host, 3)] },
        { device: member, addresses: [addressOf(member, 2)] },
      ])
    })
  })
}
