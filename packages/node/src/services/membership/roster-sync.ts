/**
 * Membership records between members: fresh ones are pushed to every connected peer at once and gossiped, and whatever
 * was missed is exchanged when two devices meet and with one random peer every half minute.
 *
 * heads := {digest}                 -> {same: true} | {have}    have: the first 16 bytes of every record's hash, joined
 * swap  := {want, give}             -> {records}                want: as `have`; give, records: record bytes
 * push  := {give}                   -> {records: []}
 *
 * A proof shown at a door leaves holes in a set, so heads alone would not tell what is missing: hashes do.
 */
import { codeOf, equalBytes, LIMITS, MalformedError, type DeviceId, type MemberRecord, type Value } from '@elder-node/protocol'
import type { RandomBytes } from '../../ports/host.ts'
import type { CallOptions, Gate, Mesh } from '../../ports/mesh.ts'
import { after } from '../../timers.ts'
import type { RecordBook, RosterChange } from './record-book.ts'
import { mapOf, recordsOf } from './wire.ts'

export interface SyncComponents { book: RecordBook, mesh: Mesh, random: RandomBytes }

const GATE: Gate = { role: 'observer' }
const PREFIX_BYTES = 16
const REQUEST_MS = 5000
const INTERVAL_MS = 30_000
/** Batches of one exchange: twice those of a full roster of short records. What is left waits for the next meeting. */
const ROUNDS_MAX: number = 2 * LIMITS.rosterKeptMax / LIMITS.batchRecordsMax
/** Of a frame, for what stands around hashes and records. */
const ENVELOPE_BYTES = 4096

export class RosterSync {
  readonly #book: RecordBook
  readonly #mesh: Mesh
  readonly #random: RandomBytes
  #timer: NodeJS.Timeout | undefined
  #stops: Array<() => void> = []
  readonly #met = Promise.withResolvers<void>()

  /** Registers its handlers: before the mesh starts. */
  constructor ({ book, mesh, random }: SyncComponents) {
    this.#book = book
    this.#mesh = mesh
    this.#random = random
    mesh.onRequest('roster', GATE, (from, message) => this.#answer(from, message))
    mesh.onGossip('roster', GATE, (from, message) => { void this.#hear(from, message) })
    this.#stops.push(book.onChange(change => { this.#push(change) }), mesh.on('admitted', device => { void this.exchange(device) }))
  }

  /** Resolves after the first comparison with a peer: from then on names are those that everybody sees. */
  get met (): Promise<void> { return this.#met.promise }

  start (): void { this.#schedule() }

  stop (): void {
    clearTimeout(this.#timer)
    for (const stop of this.#stops.splice(0)) stop()
  }

  /** Until both devices hold the same records. Never rejects: the next meeting tries again. */
  async exchange (device: DeviceId): Promise<void> {
    try {
      // Bounded: a full roster drops what it is given, for good.
      for (let round = 0; round < ROUNDS_MAX && await this.#round(device); round++);
      this.#book.healed()
    } catch {
      // Unreachable, expelled or malformed: nothing was half-added, and anti-entropy comes back.
    } finally {
      this.#met.resolve()
    }
  }

  /** True while there is more to move. */
  async #round (device: DeviceId): Promise<boolean> {
    const theirs = mapOf(await this.#request(device, { digest: this.#book.digest }))
    if (theirs['same'] === true) return false
    const have = prefixesOf(theirs['have'])
    const mine = new Set(this.#records().map(prefixOf))
    const missing = [...have].filter(prefix => !mine.has(prefix))
    const surplus = this.#records().filter(record => !have.has(prefixOf(record)))
    // Hashes and records go in one frame: with many hashes fewer records fit beside them.
    const give = this.#batchOf(surplus, LIMITS.frameBytesMax - ENVELOPE_BYTES - PREFIX_BYTES * missing.length)
    const reply = mapOf(await this.#request(device, { want: joined(missing), give }))
    const fresh = this.#book.add(recordsOf(reply['records'], LIMITS.batchRecordsMax), device)
    return fresh.length < missing.length || give.length < surplus.length
  }

  #answer (from: DeviceId, message: Value): Value | Promise<Value> {
    const { digest, want, give } = mapOf(message)
    if (digest !== undefined) {
      if (!(digest instanceof Uint8Array)) throw new MalformedError('a digest is a byte string')
      return equalBytes(digest, this.#book.digest) ? { same: true } : { have: joined(this.#records().map(prefixOf)) }
    }
    const given = recordsOf(give, LIMITS.batchRecordsMax)
    if (want === undefined) return this.#take(from, given).then(() => ({ records: [] }))
    this.#book.add(given, from)
    const wanted = prefixesOf(want)
    return { records: this.#batchOf(this.#records().filter(record => wanted.has(prefixOf(record)))) }
  }

  async #hear (from: DeviceId, message: Value): Promise<void> {
    const others = this.#others()
    const peer = others.includes(from) ? from : others[(this.#random(1)[0] ?? 0) % Math.max(1, others.length)]
    try {
      await this.#take(from, recordsOf(mapOf(message)['give'], LIMITS.batchRecordsMax), peer)
    } catch {
      // The sender's fault or a full disk; anti-entropy brings what was valid.
    }
  }

  /**
   * What knows of a record that we missed is not kept: everything is compared with a peer that has both. The answer to a push waits for that,
   * because one that leaves the mesh stays only until it is answered.
   */
  async #take (from: DeviceId, given: Uint8Array[], peer: DeviceId | undefined = from): Promise<void> {
    if (!this.#book.addWhole(given, from) && peer !== undefined) await this.exchange(peer)
  }

  /** To every live member that is connected, except who brought it: one hop costs one round trip. */
  #push ({ fresh, from }: RosterChange): void {
    const give = this.#batchOf(fresh)
    for (const device of this.#others().filter(device => device !== from)) this.#request(device, { give }).catch(() => { /* it meets us again, or another */ })
    this.#mesh.broadcast('roster', { give }).catch(() => { /* gossip is the second way */ })
  }

  /**
   * Tells every connected member, and waits for the answers.
   *
   * @returns who has answered; never rejects
   */
  async tell (record: MemberRecord): Promise<DeviceId[]> {
    const asked = this.#others()
    const isTold = await Promise.all(asked.map(device => this.#request(device, { give: [record.bytes] }).then(() => true, isForbidden)))
    return asked.filter((_, i) => isTold[i])
  }

  /** Live members that are connected. */
  #others (): DeviceId[] { return this.#mesh.peers().map(({ device }) => device).filter(device => this.#book.roster.members.has(device)) }

  #request (device: DeviceId, message: Value): Promise<Value> {
    const options: CallOptions = { signal: AbortSignal.timeout(REQUEST_MS) }
    return this.#mesh.request(device, 'roster', message, options)
  }

  #schedule (): void {
    const [a = 0, b = 0] = this.#random(2)
    this.#timer = after(INTERVAL_MS * (0.5 + a / 255), () => {
      const peers = this.#mesh.peers()
      const peer = peers[b % Math.max(1, peers.length)]
      if (peer !== undefined) void this.exchange(peer.device)
      this.#schedule()
    // What failed is tried at the next turn.
    }, () => { this.#schedule() }).unref()
  }

  #records (): readonly MemberRecord[] { return this.#book.graph.records }

  /** The first records that fit one message, ancestors first: a record is only kept where what it stands on is known. */
  #batchOf (records: readonly MemberRecord[], room: number = LIMITS.batchBytesMax): Uint8Array[] {
    const bytesMax = Math.min(room, LIMITS.batchBytesMax)
    let bytes = 0
    return records.toSorted((a, b) => this.#book.graph.compare(a, b)).slice(0, LIMITS.batchRecordsMax)
      .filter(record => (bytes += record.bytes.length + 8) <= bytesMax).map(record => record.bytes)
  }
}

/** Whoever heard of a leave by another way does not let this device ask any more. */
function isForbidden (error: unknown): boolean { return codeOf(error) === 'FORBIDDEN' }

function prefixOf ({ hash }: MemberRecord): string { return hash.slice(0, 2 * PREFIX_BYTES) }

function joined (prefixes: readonly string[]): Uint8Array { return new Uint8Array(Buffer.from(prefixes.join(''), 'hex')) }

function prefixesOf (value: Value | undefined): Set<string> {
  const isBounded = value instanceof Uint8Array && value.length <= PREFIX_BYTES * LIMITS.rosterKeptMax
  if (!isBounded || value.length % PREFIX_BYTES !== 0) throw new MalformedError('hashes are a bounded byte string')
  const hex = Buffer.from(value).toString('hex')
  return new Set(hex.match(/.{32}/g) ?? [])
}
