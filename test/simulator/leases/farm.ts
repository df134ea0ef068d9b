/**
 * Builders and requesters in the simulator's world, running the machines of the protocol as they ship. The physical truth (which
 * processes run on which host) is kept apart from what the machines believe, and every invariant is checked against it.
 */
import {
  BuildMachine, rank, SlotMachine, type BuildEffect, type BuildId, type ClaimWord, type DeviceId, type Prospect, type SlotEffect,
} from '@elder-node/protocol'
import { withRules, type BuildRules, type SlotRules } from '@elder-node/protocol/mutants'
import { World } from '../world.ts'
import { IdleTimes, IdleWatch, LineWatch, quantile } from './watch.ts'

export type Message =
  | { type: 'word', word: ClaimWord }
  | { type: 'open', build: BuildId, lease: string, fence: number }
  | { type: 'opened' | 'gone' | 'closed', build: BuildId, lease: string }
  | { type: 'stamp' | 'echo', build: BuildId, lease: string, stamp: number }
  | { type: 'result', build: BuildId, lease: string, fence: number }
  | { type: 'received', build: BuildId, lease: string }
  | { type: 'advert', free: number }

export interface Plan {
  seed: number
  hours: number
  slotRules?: Partial<SlotRules>
  buildRules?: Partial<BuildRules>
  /** Loss and load alone: no crashes, no partitions, no stalls, one way in this time. */
  quiet?: { delayMs: number }
}

export interface Outcome { violations: string[], hash: string, builds: number, done: number, moved: number, crashes: number, events: number, again: number, idle: IdleTimes }

interface Process { build: BuildId, lease: string, exclusive: boolean }
interface Host { slots: number, processes: Map<string, Process>, life: number, machine: SlotMachine, returning: Set<string>, granted: Map<string, { lease: string, fence: number }>, line: LineWatch }
interface Build {
  machine: BuildMachine
  requester: string
  exclusive: boolean
  accepted: number
  electedMs: number
  lostMs: number
  begun: Set<string>
  queued: boolean
}

const BUILDERS = 3
const REQUESTERS = 4
const HOUR_MS = 3_600_000
/** Some builds wait for a builder while nobody can be asked. */
const WAIT_MS = 60_000
/** One round of stamps and a bit. */
const CONGESTION_MS = 4_000
/** An engine promises that the processes of a dead node are gone within this time. */
const ORPHAN_MS = 2_000
const HEARTBEAT_MS = 15_000
const WATCH_MS = 1_000
const WAYS = 3
/** Of 99 slots in 100, in a quiet world: a word lost and said again, twice. */
const IDLE_MS_MAX = 500
/** Asked again for longer than this, a builder that stands still for a moment has its chance. */
const PATIENCE_MS = 2_000
/** A lost builder is waited for so long while nobody else takes the build. */
const AWAY_MS = 10_000

export class LeaseFarm {
  readonly world: World<Message>
  readonly violations = new Set<string>()
  readonly #plan: Plan
  readonly #hosts = new Map<string, Host>()
  readonly #builds = new Map<BuildId, Build>()
  /** Free slots of each builder, as the last advert told each requester. */
  readonly #adverts = new Map<string, Map<DeviceId, number>>()
  readonly #ticks = new Map<string, { deadline: number, tag: string }>()
  #tickCount = 0
  #count = 0
  #done = 0
  #moved = 0
  #crashes = 0
  #again = 0
  readonly #idle = new IdleTimes()
  readonly #idleWatch = new IdleWatch()
  /** Who stands still as under SIGSTOP, and what has come since. */
  readonly #stopped = new Map<string, Array<() => void>>()
  readonly #wokeMs = new Map<string, number>()

  constructor (plan: Plan) {
    this.#plan = plan
    const delay = plan.quiet?.delayMs
    this.world = new World(plan.seed, { loss: 0.03, duplicate: 0.03, delayMs: delay === undefined ? [1, 150] : [delay, delay] })
  }

  run (): Outcome {
    const endMs = this.#plan.hours * HOUR_MS
    for (let i = 0; i < BUILDERS; i++) this.#bootBuilder(`builder${i}`, 1 + i % 2)
    for (let i = 0; i < REQUESTERS; i++) this.#bootRequester(`requester${i}`)
    this.#workload(endMs)
    if (this.#plan.quiet === undefined) this.#faults(endMs)
    for (let at = WATCH_MS; at < endMs; at += WATCH_MS) this.world.at(at, () => { this.#watch() })
    this.world.run(endMs)
    this.world.heal()
    this.#mute.clear()
    this.world.run(endMs + 600_000)
    this.#atRest()
    return { violations: [...this.violations], hash: this.world.hash(), builds: this.#count, done: this.#done, moved: this.#moved, crashes: this.#crashes, events: this.world.events, again: this.#again, idle: this.#idle }
  }

  // --- builders

  #bootBuilder (name: string, slots: number): void {
    const { random } = this.world
    const last = this.#hosts.get(name)
    const life = (last?.life ?? 0) + 1
    const rttMs = (): number => 2 * (this.#plan.quiet?.delayMs ?? 40)
    const machine = new SlotMachine(withRules({ slots, epoch: life, rttMs }, this.#plan.slotRules ?? {}))
    const processes = last?.processes ?? new Map<string, Process>()
    const host: Host = { slots, processes, life, machine, returning: new Set(), granted: new Map(), line: new LineWatch() }
    this.#hosts.set(name, host)
    this.world.spawn(name, {
      receive: (from, message) => { this.#awake(name, now => { this.#atBuilder(name, host, from, message, now) }) },
      wake: tag => { this.#awake(name, now => { this.#builderWake(name, host, tag, now) }) },
    }, 0.98 + 0.04 * random())
    this.world.wake(name, 100 + 1_500 * random(), 'swept')
    this.world.wake(name, HEARTBEAT_MS, 'heartbeat')
  }

  #atBuilder (name: string, host: Host, from: string, message: Message, now: number): void {
    const device = from as DeviceId
    switch (message.type) {
      case 'word':
        host.line.heard(device, message.word)
        return this.#slots(name, host, host.machine.handle({ type: 'word', from: device, word: message.word }, now), now, message.word)
      case 'open': return this.#opened(name, host, device, message, now)
      case 'echo': return this.#slots(name, host, host.machine.handle({ type: 'echo', from: device, lease: message.lease, stamp: message.stamp }, now), now)
      case 'received': if (host.returning.delete(message.lease)) this.#finished(name, host, message.lease, now)
    }
  }

  #opened (name: string, host: Host, from: DeviceId, message: Extract<Message, { type: 'open' }>, now: number): void {
    const { build, lease, fence } = message
    const effects = host.machine.handle({ type: 'attach', from, lease, build, fence }, now)
    for (const effect of effects) {
      if (effect.type === 'attached') this.#send(name, from, { type: 'opened', build, lease })
      if (effect.type === 'attached' && !effect.resumed) this.#start(name, host, { build, lease, exclusive: this.#builds.get(build)?.exclusive === true })
      if (effect.type === 'refused') this.#send(name, from, { type: effect.gone ? 'gone' : 'closed', build, lease })
    }
    this.#slots(name, host, effects, now)
  }

  #start (name: string, host: Host, process: Process): void {
    // A builder that stands still cannot end its processes. Its own processes go on only under SIGSTOP; a lid stops them too.
    const running = [...this.#hosts].filter(([other]) => !this.#stoodStill(other)).flatMap(([, other]) => [...other.processes.values()])
    if (process.exclusive && running.some(other => other.build === process.build)) this.#violate('an exclusive build runs twice at once')
    this.#idle.began(name, process.lease, this.world.now)
    host.processes.set(`${host.life}/${process.lease}`, process)
    if (host.processes.size > host.slots) this.#violate('more processes than slots')
    // Some builds are long enough to live through a partition, most are short.
    const runMs = this.world.random() < 0.2 ? 30_000 + 60_000 * this.world.random() : 500 + 8_000 * this.world.random()
    this.world.wake(name, runMs, `exit ${process.lease}`)
  }

  #builderWake (name: string, host: Host, tag: string, now: number): void {
    const [what, lease = ''] = tag.split(' ')
    if (what === 'swept') {
      host.processes.clear()
      return this.#slots(name, host, host.machine.handle({ type: 'swept' }, now), now)
    }
    if (what === 'tick' && this.#ticks.get(name)?.tag !== tag) return
    if (what === 'tick') this.#ticks.delete(name)
    if (what === 'tick') return this.#slots(name, host, host.machine.handle({ type: 'tick' }, now), now)
    if (what === 'heartbeat') {
      this.world.wake(name, HEARTBEAT_MS, 'heartbeat')
      return this.#advertise(name, host)
    }
    if (what === 'exit') return this.#exited(name, host, lease)
    if (what === 'dead') {
      host.processes.delete(`${host.life}/${lease}`)
      return this.#slots(name, host, host.machine.handle({ type: 'stopped', lease }, now), now)
    }
    this.#sendResult(name, host, lease)
  }

  #exited (name: string, host: Host, lease: string): void {
    if (!host.processes.delete(`${host.life}/${lease}`)) return
    host.returning.add(lease)
    this.#sendResult(name, host, lease)
  }

  #sendResult (name: string, host: Host, id: string): void {
    const lease = host.machine.leases().find(other => other.id === id)
    if (lease === undefined || !host.returning.has(id)) return
    this.#send(name, lease.requester, { type: 'result', build: lease.build, lease: id, fence: lease.fence })
    this.world.wake(name, 1_000, `result ${id}`)
  }

  #slots (name: string, host: Host, effects: SlotEffect[], now: number, asked?: ClaimWord): void {
    for (const effect of effects) {
      if (effect.type === 'changed') this.#advertise(name, host)
      if (effect.type === 'send') this.#checkAnswer(name, host, effect, asked)
      if (effect.type === 'send') this.#send(name, effect.to, { type: 'word', word: effect.word })
      if (effect.type === 'stamp') this.#send(name, effect.lease.requester, { type: 'stamp', build: effect.lease.build, lease: effect.lease.id, stamp: effect.stamp })
      if (effect.type === 'kill') this.#kill(name, host, effect, now)
    }
    if (host.line.dropped(host, this.world.now)) this.#violate('a reservation was dropped that nobody gave up')
    this.#tick(name, host.machine.deadline(), now)
  }

  #advertise (name: string, { machine }: Host): void {
    // Gossip comes by several ways.
    for (let i = 0; i < WAYS * REQUESTERS; i++) this.#send(name, `requester${i % REQUESTERS}`, { type: 'advert', free: machine.free })
    // A slot that is free and not asked about, or nobody in line: no time is counted.
    if (machine.queue === 0) this.#idle.forget(name)
  }

  #checkAnswer (name: string, host: Host, { to, word }: Extract<SlotEffect, { type: 'send' }>, asked: ClaimWord | undefined): void {
    host.line.said(to, word, this.world.now)
    const held = host.machine.leases().filter(lease => lease.build === word.build && lease.requester === to && lease.state !== 'ending')
    if (word.type === 'no' && asked?.type === 'claim' && held.some(lease => lease.fence === word.fence)) this.#violate('a claim that holds a slot is told no when it asks again')
    if (word.type !== 'grant') return
    const key = `${to} ${word.build}`
    const last = host.granted.get(key)
    if (last !== undefined && last.lease !== word.lease && word.fence <= last.fence) this.#violate('a fence did not rise')
    host.granted.set(key, { lease: word.lease, fence: word.fence })
    if (last?.lease === word.lease) return
    this.#idle.gave(name, word.lease, this.world.now)
    if (asked?.type === 'claim' && host.line.overtaken(host, this.world.now)) this.#violate('a newcomer got the slot that the line was asked about')
  }

  #finished (name: string, host: Host, lease: string, now: number): void {
    if (host.machine.queue > 0) this.#idle.becameFree(name, this.world.now)
    this.#slots(name, host, host.machine.handle({ type: 'finished', lease }, now), now)
  }

  #kill (name: string, host: Host, { lease, reason }: Extract<SlotEffect, { type: 'kill' }>, now: number): void {
    if (reason === 'lapsed' && now - lease.stampMs < 19_000) this.#violate('a build was killed within its grace')
    host.returning.delete(lease.id)
    this.world.wake(name, 2_000 * this.world.random(), `dead ${lease.id}`)
  }

  // --- requesters

  #bootRequester (name: string): void {
    for (const [id, build] of this.#builds) if (build.requester === name && !build.machine.ended) this.#builds.delete(id)
    this.world.spawn(name, {
      receive: (from, message) => { this.#awake(name, now => { this.#atRequester(name, from, message, now) }) },
      wake: tag => { this.#awake(name, now => { this.#requesterWake(name, tag, now) }) },
    }, 0.98 + 0.04 * this.world.random())
  }

  #submit (name: string): void {
    const id = `${this.#count++}`.padStart(26, 'a') as BuildId
    const exclusive = this.world.random() < 0.4
    const machine = new BuildMachine(withRules({
      build: id, needs: { memoryBytes: null, cpus: null }, exclusive, ...(this.#count % 3 === 0 ? { waitMs: WAIT_MS } : {}),
    }, this.#plan.buildRules ?? {}))
    this.#builds.set(id, { machine, requester: name, exclusive, accepted: 0, electedMs: 0, lostMs: -Infinity, begun: new Set(), queued: false })
    const now = this.world.clockOf(name)
    this.#effects(name, id, machine.handle({ type: 'start' }, now), now)
  }

  #atRequester (name: string, from: string, message: Message, now: number): void {
    if (message.type === 'advert') return this.#advertAt(name, from as DeviceId, message.free, now)
    const id = message.type === 'word' ? message.word.build : message.build
    const build = this.#builds.get(id)
    if (build === undefined) return
    const { machine } = build
    const device = from as DeviceId
    if (message.type !== 'word' && message.type !== 'gone' && message.type !== 'closed') build.begun.add(`${from} ${message.lease}`)
    const handle = (input: Parameters<BuildMachine['handle']>[0]): void => { this.#effects(name, id, machine.handle(input, now), now) }
    switch (message.type) {
      case 'word': return handle({ type: 'word', from: device, word: message.word })
      case 'opened': return handle({ type: 'phase', from: device, lease: message.lease, phase: 'running' })
      case 'gone': return handle({ type: 'failed', from: device, lease: message.lease, code: 'LEASE_GONE', message: 'gone', fix: '' })
      case 'closed': return handle({ type: 'reset', from: device, lease: message.lease, reason: 'closed' })
      case 'stamp': return handle({ type: 'stamp', from: device, lease: message.lease, stamp: message.stamp })
      case 'result': return this.#result(name, from, build, message, now)
    }
  }

  #advertAt (name: string, device: DeviceId, free: number, now: number): void {
    this.#adverts.set(name, (this.#adverts.get(name) ?? new Map<DeviceId, number>()).set(device, free))
    for (const [id, { requester, machine }] of this.#builds) {
      if (requester !== name || machine.state !== 'queued') continue
      const inputs: Array<Parameters<BuildMachine['handle']>[0]> = [{ type: 'news' }, ...(free > 0 ? [{ type: 'free' as const, device }] : [])]
      for (const input of inputs) this.#effects(name, id, machine.handle(input, now), now)
    }
  }

  #result (name: string, from: string, build: Build, message: Extract<Message, { type: 'result' }>, now: number): void {
    const current = build.machine.current
    const isCurrent = current !== undefined && current.lease === message.lease && current.fence === message.fence && current.device === from
    const effects = build.machine.handle({ type: 'result', from: from as DeviceId, lease: message.lease, fence: message.fence }, now)
    if (effects.some(effect => effect.type === 'accept')) {
      if (!isCurrent) this.#violate('a result of another lease than the current one was accepted')
      if (++build.accepted > 1) this.#violate('two results were accepted for one build')
      this.#done++
    }
    this.#effects(name, message.build, effects, now)
    this.#send(name, from, { type: 'received', build: message.build, lease: message.lease })
  }

  #requesterWake (name: string, tag: string, now: number): void {
    if (this.#ticks.get(name)?.tag !== tag) return
    this.#ticks.delete(name)
    for (const [id, build] of this.#builds) {
      const at = build.machine.deadline()
      if (build.requester === name && at !== undefined && at <= now + 0.001) this.#effects(name, id, build.machine.handle({ type: 'tick' }, now), now)
    }
    this.#tickRequester(name, now)
  }

  #effects (name: string, id: BuildId, effects: BuildEffect[], now: number): void {
    const build = this.#builds.get(id) as Build
    const { machine } = build
    const left = effects.find(effect => effect.type === 'abandon')
    const before = left === undefined ? undefined : `${left.to} ${left.lease}`
    for (const effect of effects) {
      if (effect.type === 'send') this.#send(name, effect.to, { type: 'word', word: effect.word })
      if (effect.type === 'open') this.#send(name, effect.to, { type: 'open', build: id, lease: effect.lease, fence: effect.fence })
      if (effect.type === 'open') this.#fromFormerBuilders(name, id, effect)
      if (effect.type === 'echo') this.#send(name, effect.to, { type: 'echo', build: id, lease: effect.lease, stamp: effect.stamp })
      if (effect.type === 'moved') this.#moved++
      if (effect.type === 'moved' && effect.code === 'BUILDER_LOST') build.lostMs = now
      if (effect.type === 'again') this.#again++
      if (effect.type === 'moved' && effect.code === 'LEASE_GONE' && before !== undefined && !build.begun.has(before)) this.#violate('a lease that was gone before its build began cost an attempt')
      if (effect.type === 'elect') build.electedMs = now
      if (effect.type === 'ended') this.#gaveUp(id, effect, now)
      if (effect.type === 'elect' || effect.type === 'look') this.#effects(name, id, machine.handle({ type: 'ranked', order: this.#order() }, now), now)
    }
    if (machine.state === 'queued' && !build.queued) this.#askFree(name, build, id)
    build.queued = machine.state === 'queued'
    this.#tickRequester(name, now)
  }

  /** What an advert said while the build asked is known now, when it waits. */
  #askFree (name: string, build: Build, id: BuildId): void {
    const free = [...this.#adverts.get(name) ?? []].filter(([, slots]) => slots > 0).map(([device]) => device)
    const ask = (now: number): void => {
      if (this.#builds.get(id) === build) for (const device of free) this.#effects(name, id, build.machine.handle({ type: 'free', device }, now), now)
    }
    this.world.at(this.world.now, () => { this.#awake(name, ask) })
  }

  #gaveUp (id: BuildId, { failure, refused }: Extract<BuildEffect, { type: 'ended' }>, now: number): void {
    const { electedMs, lostMs } = this.#builds.get(id) as Build
    const silent = failure.code === 'NO_CANDIDATE' && refused.some(({ reason }) => reason === 'no answer')
    if (silent && now - electedMs < PATIENCE_MS) this.#violate('a build gave up on a builder that only stood still')
    if (failure.code === 'NO_CANDIDATE' && now - lostMs < AWAY_MS) this.#violate('a build gave up on a builder that was only away')
  }

  /**
   * Ids of leases are their builder's own, so a former builder of this build may have given the id of the new lease too. What it sent
   * then arrives now, or it lies.
   */
  #fromFormerBuilders (name: string, build: BuildId, { to, lease, fence }: Extract<BuildEffect, { type: 'open' }>): void {
    const { world } = this
    const former = this.#builds.get(build)?.machine.attempts.map(({ device }) => device).filter(device => device !== to) ?? []
    for (const device of former) {
      const late: Message[] = [{ type: 'gone', build, lease }, { type: 'closed', build, lease }, { type: 'stamp', build, lease, stamp: world.clockOf(device) }, { type: 'result', build, lease, fence }]
      world.at(world.now + 10_000 * world.random(), () => { world.send(device, name, late[Math.floor(world.random() * late.length)] as Message) })
    }
  }

  #order (): Array<{ device: DeviceId, rttMs: number | undefined }> {
    const prospects: Prospect[] = [...this.#hosts.keys()].map((name, i) => ({
      device: name as DeviceId, rttMs: 5 + 10 * i, bytesMissing: 0, bandwidthBytesPerS: 1e7, queueWaitS: 0, bootS: 0, runS: 5, speed: 1, success: 1, unusedMs: Infinity,
    }))
    return rank(prospects, { recentBusy: true, explore: 0, random: this.world.random }).order.map(({ device }) => ({ device, rttMs: 80 }))
  }

  // --- the world

  #send (from: string, to: string, message: Message): void {
    // Now and then a message sits in a buffer somewhere for seconds: what late echoes and late claims are made of.
    if (this.#mute.has(from)) return
    const chance = message.type !== 'echo' ? 0.02 : this.#congested.has(to) ? 1 : 0.1
    // A stream loses nothing, it breaks: where nothing else goes wrong, only the words before it are lost.
    if (this.#plan.quiet !== undefined && message.type !== 'word') for (let i = 1; i < WAYS; i++) this.world.send(from, to, message)
    if (this.#plan.quiet === undefined && this.world.random() < chance) this.world.at(this.world.now + 1_000 + 14_000 * this.world.random(), () => { this.world.send(from, to, message) })
    else this.world.send(from, to, message)
  }

  /** Runs it, or once the process goes on. */
  #awake (name: string, act: (now: number) => void): void {
    const kept = this.#stopped.get(name)
    if (kept === undefined) act(this.world.clockOf(name))
    else kept.push(() => { act(this.world.clockOf(name)) })
  }

  /** Now, or so lately that a kill may still be on its way. */
  #stoodStill (name: string): boolean { return this.#stopped.has(name) || this.world.now < (this.#wokeMs.get(name) ?? -Infinity) + ORPHAN_MS }

  #stop (name: string, forMs: number): void {
    if (this.#stopped.has(name) || this.#down.has(name)) return
    const kept: Array<() => void> = []
    this.#stopped.set(name, kept)
    this.world.at(this.world.now + forMs, () => {
      if (this.#stopped.get(name) !== kept) return
      this.#stopped.delete(name)
      this.#wokeMs.set(name, this.world.now)
      for (const act of kept) act()
    })
  }

  #watch (): void {
    const isWell = (name: string): boolean => !this.#down.has(name) && !this.#stopped.has(name) && !this.#mute.has(name) && !this.#congested.has(name)
    const hosts = new Map([...this.#hosts].filter(([name, { machine }]) => isWell(name) && machine.free + machine.leases().length > 0))
    const waiting = [...this.#builds].filter(([, { machine }]) => machine.state === 'queued').map(([build, { requester }]) => ({ build, requester }))
    const meet = (host: string, requester: string): boolean => isWell(requester) && this.world.connected(host, requester)
    for (const what of this.#idleWatch.look(hosts, waiting, meet, this.world.now)) this.#violate(what)
  }

  #tick (name: string, deadline: number | undefined, now: number): void {
    if (deadline === undefined || this.#ticks.get(name)?.deadline === deadline) return
    const tag = `tick ${++this.#tickCount}`
    this.#ticks.set(name, { deadline, tag })
    this.world.wake(name, Math.max(1, deadline - now), tag)
  }

  #tickRequester (name: string, now: number): void {
    let next: number | undefined
    for (const build of this.#builds.values()) {
      const at = build.requester === name ? build.machine.deadline() : undefined
      if (at !== undefined && (next === undefined || at < next)) next = at
    }
    this.#tick(name, next, now)
  }

  #workload (endMs: number): void {
    const { random } = this.world
    const everyMs = this.#plan.quiet === undefined ? 12_000 : 8_600
    for (let at = 2_000; at < endMs; at += everyMs * random()) {
      const name = `requester${Math.floor(random() * REQUESTERS)}`
      this.world.at(at, () => { if (!this.#down.has(name)) this.#submit(name) })
    }
    for (let at = 60_000; at < endMs + 120_000; at += 60_000) this.world.at(at, () => { this.#forget() })
  }

  readonly #down = new Set<string>()

  #faults (endMs: number): void {
    const { random } = this.world
    const names = [...this.#hosts.keys(), ...Array.from({ length: REQUESTERS }, (_, i) => `requester${i}`)]
    for (let at = 20_000; at < endMs; at += 60_000 * random()) {
      const name = names[Math.floor(random() * names.length)] as string
      const kind = random()
      if (kind < 0.15) this.world.at(at, () => { this.#stop(name, 300 + (random() < 0.7 ? 4_000 : 40_000) * random()) })
      else if (kind < 0.35) this.#fade(name, at, 10_000 + 40_000 * random())
      else if (kind < 0.6) this.world.at(at, () => { this.#crash(name, 50 + (random() < 0.6 ? 300 : 40_000) * random()) })
      else this.world.at(at, () => { this.#partition(names, 1_000 + 29_000 * random()) })
    }
  }

  #crash (name: string, downMs: number): void {
    if (this.#down.has(name)) return
    this.#down.add(name)
    this.#stopped.delete(name)
    this.#crashes++
    this.world.crash(name)
    const host = this.#hosts.get(name)
    if (host !== undefined) this.#afterCrash(name, host)
    this.world.at(this.world.now + downMs, () => {
      this.#down.delete(name)
      this.#ticks.delete(name)
      if (host === undefined) this.#bootRequester(name)
      if (host === undefined) return this.#meet()
      this.#bootBuilder(name, host.slots)
    })
  }

  /** A link that dies slowly: what is sent to it is stuck in buffers first, then it hears everyone and is heard by nobody. */
  #fade (name: string, at: number, forMs: number): void {
    this.world.at(at - CONGESTION_MS, () => { this.#congested.add(name) })
    this.world.at(at, () => {
      this.#congested.delete(name)
      this.#mute.add(name)
    })
    this.world.at(at + forMs, () => {
      this.#mute.delete(name)
      this.#meet()
    })
  }

  readonly #congested = new Set<string>()
  readonly #mute = new Set<string>()

  /** Processes outlive their node until the next sweep or for two seconds; half of the requesters hear a reset. */
  #afterCrash (name: string, host: Host): void {
    const left = [...host.processes.keys()]
    this.world.at(this.world.now + ORPHAN_MS * this.world.random(), () => { for (const key of left) host.processes.delete(key) })
    for (const lease of host.machine.leases()) {
      if (this.world.random() < 0.5) this.world.send(name, lease.requester, { type: 'closed', build: lease.build, lease: lease.id })
    }
  }

  #partition (names: string[], forMs: number): void {
    const { random } = this.world
    const side = names.map(name => [name, random() < 0.5] as const)
    this.world.partition([side.filter(([, left]) => left).map(([name]) => name), side.filter(([, left]) => !left).map(([name]) => name)])
    this.#meet()
    this.world.at(this.world.now + forMs, () => {
      this.world.heal()
      this.#meet()
    })
  }

  /** Whoever hears each other anew tells first what is free, as after an admission. */
  #meet (): void { for (const [name, host] of this.#hosts) if (!this.#down.has(name)) this.#advertise(name, host) }

  /** Ended builds are forgotten after a while, as in a node; the check that each ended is made before. */
  #forget (): void {
    const ended = [...this.#builds].filter(([, build]) => build.machine.ended)
    for (const [id] of ended.slice(0, Math.max(0, ended.length - 40))) this.#builds.delete(id)
  }

  #atRest (): void {
    const { free, given } = this.#idle
    if (this.#plan.quiet !== undefined && quantile(free, 0.99) > IDLE_MS_MAX) this.#violate('freed slots stand idle beside builds that wait')
    if (this.#plan.quiet !== undefined && quantile(given, 0.99) > IDLE_MS_MAX) this.#violate('given slots stand idle because their builds do not know')
    for (const host of this.#hosts.values()) {
      if (host.machine.free !== host.slots) this.#violate('a slot leaked')
      if (host.processes.size > 0) this.#violate('a process was left behind')
    }
    for (const build of this.#builds.values()) if (!build.machine.ended) this.#violate('a build never ended')
  }

  #violate (what: string): void {
    this.violations.add(what)
    this.world.trace('violation', what)
  }
}
