/**
 * Every stack on this device: opened at start, made by the first write or by the first record a peer brings.
 *
 * A write goes Stack -> store (durable) -> {@link Stacks.onAppend} (gossip); a received batch comes in through
 * {@link Stacks.receive}. What moved, in either way, is told to {@link Stacks.onMoved}.
 */
import { Stack, type FeedStore, type Received, type StackInit } from '@elder-node/crdt-stack'
import {
  checkNamed, codeOf, deviceId, ElderError, feedDevice, LIMITS, parseStackKey, SETTINGS_STACK, STACK_NAME, stackId, stackIdOf, stackKey, verifyBatch,
  type Batch, type Crypto, type Cuts, type DeviceId, type FeedId, type MeshId, type Signer, type StackId, type StackKey, type StackSummary,
} from '@elder-node/protocol'
import type { MirrorStatus, OpenStack, Problem, StackStatus } from '../api.ts'
import type { PrivateFiles } from '../ports/files.ts'
import type { Clock, RandomBytes } from '../ports/host.ts'
import type { Logger } from '../ports/log.ts'
import { Listeners } from './listeners.ts'
import { Founders } from './stacks/founders.ts'
import { HeldStack } from './stacks/held-stack.ts'
import { archivedStack, findStack, foreignStack, noSuchStack, removedStack, shownName } from './stacks/names.ts'
import { NamedStack } from './stacks/open-stack.ts'
import { StackBook } from './stacks/stack-book.ts'
import { Shelf } from './stacks/shelf.ts'

export interface StacksComponents {
  crypto: Crypto
  signer: Signer
  clock: Clock
  random: RandomBytes
  /** The directory of the stacks: in the folder of each its name, and where an archived one came from. */
  files: PrivateFiles
  /** The feeds of one stack, in a directory of its own that is named by the key. */
  openStore: (key: StackKey) => FeedStore | Promise<FeedStore>
  /** Deletes that directory, the name in it last: what is left after a crash is deleted at the next look. */
  dropStore: (key: StackKey) => void | Promise<void>
  /** Does the roster know this device as a writer, now or before it left? What counts of an evicted device the cuts say. */
  mayWrite: (device: DeviceId) => boolean
  /** What counts of evicted devices in one stack of this mesh. */
  cuts: (stack: StackId) => Cuts
  /** Checks another mesh's membership records, which must begin with the genesis of `mesh`; says who could write there, and what counts of those that it evicted. @throws ElderError when they do not hold */
  verifyArchive: (records: Uint8Array[], mesh: MeshId) => ArchiveRules
  log: Logger
}

/** `shown` in lists; `kept`: archived ones too; `all`: those that were removed too, while they are on the disk. */
export type Which = 'shown' | 'kept' | 'all'

/** Everything of a stack of another mesh, as a mirror holds it. */
export interface Archive { key: StackKey, name: string, batches: readonly Batch[], roster: readonly Uint8Array[] }

/** `records`: those of the given ones that hold. */
export interface ArchiveRules { records: Uint8Array[], mayWrite: (device: DeviceId) => boolean, cuts: (stack: StackId) => Cuts }
export interface ListInit { which?: Which | undefined, copies?: (held: HeldStack) => number, mirrors?: (held: HeldStack) => MirrorStatus[] }

export type AppendListener = (held: HeldStack, batch: Batch) => void
export type MovedListener = (held: HeldStack) => void

export class Stacks {
  readonly self: DeviceId
  /** What the mesh has settled about its stacks. */
  readonly book: StackBook
  readonly #components: StacksComponents
  readonly #shelf: Shelf
  readonly #held = new Map<StackKey, HeldStack>()
  readonly #opening = new Map<StackKey, Promise<HeldStack>>()
  readonly #founders = new Founders()
  /** A stack that comes back waits until its folder is gone. */
  readonly #dropping = new Map<StackKey, Promise<void>>()
  readonly #appended = new Listeners<[held: HeldStack, batch: Batch]>()
  readonly #moved = new Listeners<[held: HeldStack]>()
  readonly #untold = new Listeners<[held: HeldStack]>()
  /** Stacks on the disk that could not be opened, and why. */
  get broken (): Array<{ name: string, code: string, message: string }> { return [...this.#broken.values()] }
  readonly #broken = new Map<StackKey, { name: string, code: string, message: string }>()
  #closed = false

  private constructor (components: StacksComponents) {
    this.self = deviceId(components.signer.publicKey)
    this.#components = components
    this.#shelf = new Shelf(components)
    const settings = stackKey(stackIdOf(SETTINGS_STACK, components.crypto))
    const { files, clock } = components
    const open = (): Promise<HeldStack> => this.ensure(SETTINGS_STACK)
    this.book = new StackBook({ settings: () => this.held(settings), open, files, clock })
  }

  /** Opens every stack on the disk; one that cannot be opened stands in {@link broken} and keeps the others from nothing. */
  static async open (components: StacksComponents): Promise<Stacks> {
    const stacks = new Stacks(components)
    for (const [key, name] of stacks.#shelf.names()) {
      await stacks.#ensure(key, name).catch((error: unknown) => { stacks.#broken.set(key, { name, code: codeOf(error), message: (error as Error).message }) })
    }
    // The settings may have been opened after the stacks that they speak of.
    stacks.#hear()
    return stacks
  }

  /** A stack on the disk whose name did not read is opened once somebody says its name. */
  async recall (name: string): Promise<void> {
    const key = STACK_NAME.test(name) ? stackKey(stackIdOf(name, this.#components.crypto)) : undefined
    if (key !== undefined && this.#shelf.nameless().has(key)) await this.#ensure(key, name)
  }

  // ---- for people

  /** Stacks with something in them; never the settings. */
  list ({ which = 'shown', copies = () => 1, mirrors = () => [] }: ListInit = {}): StackStatus[] {
    const visible = this.which(which)
    return visible.map(held => {
      const removed = which === 'all' ? this.book.removed(held) : undefined
      return {
        name: shownName(held, visible), entries: held.entries(), copies: copies(held), mirrors: mirrors(held),
        archived: held.archivedFrom !== undefined || this.book.archived(held) !== undefined,
        ...(held.archivedFrom === undefined ? {} : { from: held.archivedFrom }), ...(removed === undefined ? {} : { removed: { at: removed.at, by: removed.by } }),
      }
    }).sort((a, b) => a.name < b.name ? -1 : 1)
  }

  /** The same as they are held here. */
  which (which: Which): HeldStack[] {
    return this.all().filter(held => held.name !== SETTINGS_STACK && !held.isBlank() &&
      (which === 'all' || this.book.removed(held) === undefined) && (which !== 'shown' || this.book.archived(held) === undefined))
  }

  /** Never fails: reading a stack that is not there throws `NO_SUCH_STACK`, and the first `add` makes it. `agent`: writes what names no other. */
  open (name: string, init: { agent?: string } = {}): OpenStack {
    return new NamedStack({
      find: () => this.find(name), forWriting: () => this.#forWriting(name),
      keep: (held, author) => this.book.keep(held, author),
      claiming: (claim, write) => this.book.origins.claiming(name, claim, write),
    }, { name, ...init })
  }

  problems (): Problem[] {
    const nameless = [...this.#shelf.nameless().values()].map(({ message }) => ({
      code: 'STACK_NAMELESS', message: `The name of a stack on this device is not known: ${message}.`,
      fix: 'Say its name: elder-node stack show <name>; or start another device that holds it.',
    }))
    return [...nameless, ...this.#unopened(), ...this.#returned()]
  }

  /** Of whom stacks are not kept here. */
  refusals (isMember: (device: DeviceId) => boolean, nameOf: (device: DeviceId) => string): Problem[] { return this.#founders.problems(isMember, nameOf) }

  #unopened (): Problem[] {
    return this.broken.map(({ name, code, message }) => ({ code, message: `The stack ${name} cannot be opened: ${message}`, fix: 'Move its folder away from the data directory; it comes back from the other devices or from a remote.' }))
  }

  /** Stacks that were removed and written to beyond it. */
  #returned (): Problem[] {
    return this.which('kept').flatMap(held => {
      const at = this.book.returned(held)?.at
      return at === undefined ? [] : [{
        code: 'STACK_RETURNED', message: `Something was written to the stack ${held.name} that its removal on ${at.slice(0, 10)} did not know: it is shown again, with all that it held.`,
        fix: `elder-node stack rm --all-of ${held.folder} --undo   (keeps it; without --undo it is removed again; elder-node stack log ${held.folder} shows who wrote)`,
      }]
    })
  }

  /** The stack a person means by this name. */
  named (name: string): HeldStack | undefined { return findStack(name, this.all()) }

  /** @throws ElderError `NO_SUCH_STACK`, also for one that was removed; `AMBIGUOUS` */
  find (name: string): HeldStack {
    const held = this.#known(name)
    const removed = this.book.removed(held)
    if (removed !== undefined) throw removedStack(name, removed)
    return held
  }

  /** For what is settled about a stack, a removed one included. @throws ElderError `NO_SUCH_STACK`, `AMBIGUOUS`, `FORBIDDEN` */
  settle (name: string): HeldStack {
    this.demandWriter()
    return this.#known(name)
  }

  #known (name: string): HeldStack {
    const held = this.named(name)
    if (held === undefined || held.isBlank()) throw noSuchStack(name)
    return held
  }

  async #forWriting (name: string): Promise<HeldStack> {
    const found = this.named(name)
    if (found?.archivedFrom !== undefined) throw foreignStack(name)
    const archived = found === undefined ? undefined : this.book.archived(found)
    if (archived !== undefined) throw archivedStack(name, archived)
    // Refuses what is no stack name; the settings are not for people.
    stackId(name, this.#components.crypto)
    this.demandWriter()
    if (found !== undefined) return found
    this.#founders.demandRoomFor(this.self)
    return await this.#ensure(stackKey(stackIdOf(name, this.#components.crypto)), name, this.self)
  }

  /** @throws ElderError `FORBIDDEN` on an observer */
  demandWriter (): void {
    if (this.#components.mayWrite(this.self)) return
    throw new ElderError('FORBIDDEN', 'This device is an observer: it reads the stacks of the mesh and does not write them.', 'Ask an admin to invite it again with --role member.')
  }

  // ---- for services

  all (): HeldStack[] { return [...this.#held.values()] }
  held (key: StackKey): HeldStack | undefined { return this.#held.get(key) }

  /** A stack of this mesh (or the settings), made when it is missing. @throws ElderError `STACK_NAME`, `TOO_MANY_STACKS` */
  async ensure (name: string): Promise<HeldStack> {
    return await this.#ensure(stackKey(stackIdOf(name, this.#components.crypto)), name)
  }

  summaries (): StackSummary[] {
    return this.all().filter(({ stack }) => !stack.isEmpty).map(({ key, name, stack }) => ({ key, name, digest: stack.feedsDigest() }))
  }

  /** Per stack of this mesh, the newest records that are here of the feeds of one device. */
  async headsOf (device: DeviceId): Promise<Map<StackId, Uint8Array[]>> {
    const own = this.all().filter(({ archivedFrom }) => archivedFrom === undefined)
    const heads = own.map(({ stack }) => [stack.id, stack.headsOf(device)] as const)
    return new Map(heads.filter(([, hashes]) => hashes.length > 0))
  }

  /** The same beyond the cut of an evicted device, from the disk. A stack that does not read leaves the others. */
  async headsBeyond (device: DeviceId): Promise<Map<StackId, Uint8Array[]>> {
    const heads = new Map<StackId, Uint8Array[]>()
    for (const { stack, archivedFrom } of this.all()) {
      if (archivedFrom !== undefined) continue
      const hashes = await stack.headsBeyond(device).catch(() => [])
      if (hashes.length > 0) heads.set(stack.id, hashes)
    }
    return heads
  }

  /** May this feed be received? For an archived stack that is not here yet, its origin will tell. */
  accepts (key: StackKey, feed: FeedId): boolean {
    const held = this.held(key)
    if (held !== undefined) return held.mayWrite(feedDevice(feed))
    return parseStackKey(key).archivedFrom !== undefined || this.#components.mayWrite(feedDevice(feed))
  }

  /** Own batches, once durable. Returns the unsubscriber. */
  onAppend (listener: AppendListener): () => void { return this.#appended.add(listener) }
  /** A stack has new records, own or received. Returns the unsubscriber. */
  onMoved (listener: MovedListener): () => void { return this.#moved.add(listener) }

  /**
   * Something changed that no gossip tells: an archived stack was restored, or other cuts count, which may bring
   * records back here or elsewhere. Returns the unsubscriber.
   */
  onUntold (listener: MovedListener): () => void { return this.#untold.add(listener) }

  /** Takes batches from a peer or a mirror, in order; makes the stack when the first of them holds. @throws MalformedError the sender's fault; ElderError `DISK_FULL` */
  async receive (key: StackKey, name: string, batches: readonly Batch[]): Promise<Pick<Received, 'accepted' | 'missing'>> {
    const founder = this.held(key) === undefined ? this.#founderOf(key, name, batches) : undefined
    const held = this.held(key) ?? (founder !== undefined && this.#hasRoomFor(founder) ? await this.#ensure(key, name, founder) : undefined)
    if (held === undefined && founder !== undefined && this.#founders.refuse(founder, key)) {
      this.#components.log.warn({ stack: name, device: founder }, 'a device made more stacks than are taken here; this one is not kept')
    }
    if (held === undefined) return { accepted: 0, missing: [] }
    try {
      return await receiveAll(held.stack, batches)
    } finally {
      // Also after a broken batch: those before it count.
      this.#tellMoved(held)
    }
  }

  /** Nobody fills this disk with empty stacks: the first record of a writer must be there, signed. @returns that writer */
  #founderOf (key: StackKey, name: string, batches: readonly Batch[]): DeviceId | undefined {
    const { crypto } = this.#components
    const { id, archivedFrom } = parseStackKey(key)
    checkNamed(key, name, crypto)
    const first = batches.find(({ from, feed }) => from === 1 && this.accepts(key, feed))
    if (first === undefined || archivedFrom !== undefined) return undefined
    verifyBatch(id, first, crypto)
    return feedDevice(first.feed)
  }

  /** A stack of this mesh that a remote shows, by a record of `author`; undefined when that device has made too many. */
  async adopt (name: string, author: DeviceId): Promise<HeldStack | undefined> {
    const key = stackKey(stackIdOf(name, this.#components.crypto))
    return this.held(key) ?? (this.#hasRoomFor(author) ? await this.#ensure(key, name, author) : undefined)
  }

  /** Whatever one device makes, others can make stacks too, and this one always. */
  #hasRoomFor (founder: DeviceId): boolean { return this.#founders.hasRoomFor(founder) && this.#hasRoom() }

  #hasRoom (): boolean { return this.#held.size + this.#opening.size < LIMITS.stacksMax - LIMITS.stacksReserved }

  /**
   * Membership changed: what counts of evicted devices may be another than before.
   *
   * @throws AggregateError of the stacks whose disk did not read; the cuts hold there too, as far as it did
   */
  async applyCuts (): Promise<void> {
    const failed: unknown[] = []
    for (const held of this.all()) {
      if (held.archivedFrom !== undefined) continue
      const isOther = await held.stack.setCuts(this.#components.cuts(held.stack.id)).catch((error: unknown) => {
        failed.push(error)
        return true
      })
      this.#tellMoved(held)
      if (isOther) this.#untold.tell(held)
    }
    if (failed.length > 0) throw new AggregateError(failed, 'records of evicted devices could not be read again')
  }

  // ---- archived stacks

  origin (key: StackKey): Uint8Array[] { return this.#shelf.origin(key) }

  /**
   * Verifies, keeps and opens an archived stack; its batches come next. Of one that is here, the members that were not known join
   * those that were: each copy of a mirror names the members of its day.
   *
   * `asked`: its owner restores it; what peers offer is bounded.
   *
   * @throws ElderError when the records do not hold
   */
  async acceptOrigin (key: StackKey, name: string, records: readonly Uint8Array[], { asked = false }: { asked?: boolean } = {}): Promise<HeldStack> {
    const { archivedFrom } = parseStackKey(checkedKey(key, name, this.#components.crypto))
    if (archivedFrom === undefined) throw new ElderError('NOT_ARCHIVED', `"${name}" is a stack of this mesh: it has no other origin.`)
    const known = this.held(key)
    if (known === undefined && !asked && !this.#hasRoomForArchive()) throw new ElderError('TOO_MANY_STACKS', `This device holds ${LIMITS.stacksPerDeviceMax} stacks of other meshes, as many as are taken from others.`)
    const before = this.#shelf.originThatReads(key)
    const origin = this.#components.verifyArchive([...before, ...records], archivedFrom)
    if (origin.records.length > before.length) this.#shelf.saveOrigin(key, origin.records)
    if (known === undefined) return await this.#ensure(key, name)
    known.mayWrite = origin.mayWrite
    await known.stack.setCuts(origin.cuts(known.stack.id))
    this.#tellMoved(known)
    return known
  }

  /** Those of all other meshes count as those of one device. */
  #hasRoomForArchive (): boolean {
    const many = this.all().filter(({ archivedFrom }) => archivedFrom !== undefined).length
    return many < LIMITS.stacksPerDeviceMax && this.#hasRoom()
  }

  /** Restores a stack of another mesh, read-only. Idempotent. @throws ElderError when its origin does not verify */
  async importArchived ({ key, name, batches, roster }: Archive): Promise<HeldStack> {
    const held = await this.acceptOrigin(key, name, roster, { asked: true })
    await this.receiveEach(held, batches)
    this.#untold.tell(held)
    return held
  }

  /** As {@link receive}, of a stack that is here; a batch that is wrong in itself costs no other: whoever can push to a remote can put it there. */
  async receiveEach ({ key, name }: HeldStack, batches: readonly Batch[]): Promise<void> {
    const isBad = async (some: readonly Batch[]): Promise<boolean> => await this.receive(key, name, some).then(() => false, (error: unknown) => {
      if (codeOf(error) !== 'MALFORMED') throw error
      return true
    })
    if (await isBad(batches)) for (const batch of batches) await isBad([batch])
  }

  /** Deletes a removed stack from this device. Of one that gained records since the removal was heard of, nothing. */
  async drop (key: StackKey): Promise<void> {
    const held = this.#held.get(key)
    if (held === undefined || this.#closed || this.book.expiring(held) === undefined) return
    this.#held.delete(key)
    this.#founders.remove(key)
    const dropping = this.#delete(held)
    this.#dropping.set(key, dropping)
    await dropping.finally(() => { this.#dropping.delete(key) })
  }

  async #delete (held: HeldStack): Promise<void> {
    const { key, stack } = held
    await stack.close()
    await this.#components.dropStore(key)
    this.#shelf.forget(key)
    this.book.forget(held)
  }

  /** Finishes what is under way and closes every store. Never rejects. */
  async close (): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#opening.values(), ...this.#dropping.values()])
    await Promise.allSettled(this.all().map(({ stack }) => stack.close()))
  }

  async #ensure (key: StackKey, name: string, founder?: DeviceId): Promise<HeldStack> {
    const known = this.#held.get(key) ?? this.#opening.get(key)
    if (known !== undefined) return await known
    if (this.#closed) throw new ElderError('CLOSED', 'The node is stopping.', 'Start it again.')
    if (this.#held.size + this.#opening.size >= LIMITS.stacksMax) throw new ElderError('TOO_MANY_STACKS', `This device holds ${LIMITS.stacksMax} stacks, which is the bound of a mesh.`, 'Write to one of those: elder-node stack list.')
    // Before it is there: many at a time are counted, too.
    this.#founders.add(key, founder)
    const opening = this.#load(key, name)
    this.#opening.set(key, opening)
    try {
      return await opening
    } catch (error) {
      this.#founders.remove(key)
      throw error
    } finally {
      this.#opening.delete(key)
    }
  }

  async #load (key: StackKey, name: string): Promise<HeldStack> {
    const { crypto, signer, clock, random, openStore, log } = this.#components
    const { id, archivedFrom } = parseStackKey(checkedKey(key, name, crypto))
    const { mayWrite, cuts } = archivedFrom === undefined ? this.#components : this.#components.verifyArchive(this.#shelf.origin(key), archivedFrom)
    await this.#dropping.get(key)?.catch(() => undefined)
    this.#shelf.add(key, name)
    const init: StackInit = { id, name, mayWrite: device => (this.#held.get(key)?.mayWrite ?? mayWrite)(device), cuts: cuts(id), readonly: archivedFrom !== undefined }
    const stack = await Stack.open({ store: await openStore(key), crypto, signer, wallMs: () => clock.wallMs(), random }, init).catch(ownDamage)
    for (const { file, at, bytes } of stack.damaged) log.warn({ stack: name, file, at, bytes }, 'bytes of a feed do not read; they are kept, and their records are asked of other devices')
    stack.onFault(fault => { log.warn({ stack: name, ...fault, device: feedDevice(fault.feed) }, fault.type === 'fork' ? 'a device wrote two histories of one feed; both are kept' : 'a record breaks a rule; it is kept and not shown') })
    const held = new HeldStack({ key, name, archivedFrom, stack, mayWrite })
    this.#founders.add(key, stack.soleAuthor())
    this.#held.set(key, held)
    // Before any record comes in.
    this.book.hear(held)
    this.#broken.delete(key)
    // The roster may have changed while the disk was read: whoever asks for cuts from now on finds this stack.
    await stack.setCuts(cuts(id))
    stack.onAppend(batch => {
      this.#tellMoved(held)
      this.#appended.tell(held, batch)
    })
    return held
  }

  #tellMoved (held: HeldStack): void {
    if (!held.moved()) return
    if (held.name === SETTINGS_STACK) this.#hear()
    this.#moved.tell(held)
  }

  #hear (): void { for (const held of this.all()) this.book.hear(held) }
}

/** Offers batches again while some moved and others had no room: what waits is bounded for each device. */
async function receiveAll (stack: Stack, batches: readonly Batch[]): Promise<Pick<Received, 'accepted' | 'missing'>> {
  for (let total = 0; ;) {
    const { accepted, refused, missing } = await stack.receive(batches)
    total += accepted
    if (accepted === 0 || refused === 0) return { accepted: total, missing }
  }
}

/** What stands on the own disk is no fault of the peer whose records come in. */
function ownDamage (error: unknown): never {
  if (codeOf(error) !== 'MALFORMED') throw error
  throw new ElderError('STORAGE', `a record on the disk does not read: ${(error as Error).message}`, 'Look after the disk of this device.')
}

function checkedKey (key: StackKey, name: string, crypto: Crypto): StackKey {
  checkNamed(key, name, crypto)
  return key
}
