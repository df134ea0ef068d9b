/**
 * Devices that watch each other in the simulator's world, running the detector of the protocol as it ships. The truth (who runs,
 * who reaches whom) is kept apart from what they believe, and every verdict is checked against it.
 *
 * Messages are lost here, which no TCP connection does: the world is worse than the one the detector is made for. Connections
 * are there as in the node: who is lost is cut off on both sides as far as the wire carries it, and dialled again each second.
 */
import { Detector, TICK_MS, type DetectorEffect, type DetectorInput, type DeviceId, type LivenessWord } from '@elder-node/protocol'
import { withRules, type DetectorRules } from '@elder-node/protocol/mutants'
import { World } from '../world.ts'

export interface Plan {
  seed: number
  minutes: number
  members: number
  /** @default 0.05 */
  loss?: number
  /** Each on average once in so many seconds; absent: never. */
  faults?: { crash?: number, partition?: number, cut?: number, stall?: number, slow?: number, freeze?: number }
  rules?: Partial<DetectorRules>
}

export interface Outcome {
  violations: string[]
  hash: string
  /** Verdicts, by what they were. */
  dead: number, path: number, suspicions: number
  crashes: number
  /** From a crash until each other device had noticed, milliseconds, rising. */
  noticedMs: number[]
  messages: number
}

type Message = { id: number, word: LivenessWord } & ({ type: 'probe' | 'answer' } | { type: 'ask', target: DeviceId } | { type: 'relay', target: DeviceId, reached: boolean })

interface Node {
  detector: Detector
  /** Which life of the other each connection belongs to. */
  links: Map<string, number>
  life: number
  isUp: boolean
  downAtMs: number
  stalledUntilMs: number
  /** Away for longer than anybody can be asked to wait: others may give it up, it may not give up others. */
  frozenUntilMs: number
  inbox: Array<() => void>
  sentAtMs: Map<number, number>
  asks: Map<number, { from: string, id: number, target: DeviceId }>
}

/** A verdict may come this long after the fault that excuses it: what was lost then is missed later. */
const EXCUSE_MS = 12_000
/** Noticed by everybody: a straight silence of 8 s is the end whatever others say, and it takes up to 1.5 s to ask. */
const NOTICE_MS = 10_000
const EPOCH = 1_700_000_000_000

export class WatchfulMesh {
  readonly world: World<Message>
  readonly #plan: Plan
  readonly #nodes = new Map<string, Node>()
  readonly #violations = new Set<string>()
  readonly #cuts = new Set<string>()
  readonly #count = { dead: 0, path: 0, suspicions: 0, crashes: 0 }
  readonly #noticedMs: number[] = []
  #apartAtMs = -Infinity
  #isApart = false
  #ids = 0

  constructor (plan: Plan) {
    this.#plan = plan
    this.world = new World(plan.seed, { loss: plan.loss ?? 0.05, duplicate: 0.01, delayMs: [1, 120] })
  }

  run (): Outcome {
    const endMs = this.#plan.minutes * 60_000
    for (let i = 0; i < this.#plan.members; i++) this.#boot(`d${i}`)
    for (let ms = 0; ms < endMs + 60_000; ms += 1_000) this.world.at(ms, () => { this.#dial() })
    this.#faults(endMs)
    // A mutant that was caught needs no more proof.
    for (let ms = 0; ms <= endMs && (this.#plan.rules === undefined || this.#violations.size === 0); ms += 1_000) this.world.run(ms)
    this.#mend()
    this.world.run(endMs + 60_000)
    this.#atRest()
    return { violations: [...this.#violations], hash: this.world.hash(), ...this.#count, noticedMs: this.#noticedMs.toSorted((a, b) => a - b), messages: this.world.sent }
  }

  // --- a device

  #boot (name: string): void {
    const last = this.#nodes.get(name)
    const detector = new Detector(withRules({
      self: name as DeviceId, incarnation: EPOCH + this.world.now, random: this.world.random,
    }, this.#plan.rules ?? {}))
    const node: Node = {
      detector, links: new Map(), life: (last?.life ?? 0) + 1, isUp: true, downAtMs: last?.downAtMs ?? -Infinity, stalledUntilMs: 0, frozenUntilMs: -Infinity, inbox: [], sentAtMs: new Map(), asks: new Map(),
    }
    this.#nodes.set(name, node)
    this.world.spawn(name, {
      receive: (from, message, now) => { this.#whenAwake(node, () => { this.#receive(name, node, from, message, now) }) },
      wake: () => { this.#tick(name, node) },
    }, 0.99 + 0.02 * this.world.random())
    this.world.wake(name, this.world.random() * TICK_MS, 'tick')
  }

  /** A stalled loop runs its timer first and reads its sockets after: as Node does. */
  #tick (name: string, node: Node): void {
    const { now } = this.world
    if (now < node.stalledUntilMs) return this.world.wake(name, node.stalledUntilMs - now + 0.001, 'tick')
    this.#handle(name, node, { type: 'tick' })
    for (const arrived of node.inbox.splice(0)) arrived()
    this.world.wake(name, TICK_MS, 'tick')
  }

  #whenAwake (node: Node, act: () => void): void {
    if (this.world.now < node.stalledUntilMs || node.inbox.length > 0) node.inbox.push(act)
    else act()
  }

  #receive (name: string, node: Node, from: string, message: Message, now: number): void {
    const { id, word } = message
    const device = from as DeviceId
    // A connection that was closed carries nothing any more.
    if (!node.links.has(from)) return
    switch (message.type) {
      case 'probe': return this.#handle(name, node, { type: 'probed', from: device, word }, id)
      case 'ask': {
        node.asks.set(id, { from, id, target: message.target })
        return this.#handle(name, node, { type: 'asked', from: device, id, target: message.target, word })
      }
      case 'answer': {
        const sentMs = node.sentAtMs.get(id)
        node.sentAtMs.delete(id)
        if (sentMs !== undefined) this.#handle(name, node, { type: 'answered', from: device, rttMs: now - sentMs, word })
        return
      }
      case 'relay': return this.#handle(name, node, { type: 'relayed', from: device, target: message.target, reached: message.reached, word })
    }
  }

  #handle (name: string, node: Node, input: DetectorInput, id = 0): void {
    const named = 'word' in input ? [input.from, ...input.word.rumours.map(({ device }) => device)] : []
    const before = named.map(device => node.detector.incarnationOf(device) ?? 0)
    const effects = node.detector.handle(input, this.world.clockOf(name))
    if (named.some((device, i) => (node.detector.incarnationOf(device) ?? 0) < (before[i] ?? 0))) this.#violations.add('a refuted suspicion came back')
    for (const effect of effects) this.#effect(name, node, effect, id)
  }

  #effect (name: string, node: Node, effect: DetectorEffect, id: number): void {
    switch (effect.type) {
      case 'probe': return this.#send(name, effect.to, { type: 'probe', id: this.#stamp(name, node), word: effect.word })
      case 'answer': return this.#send(name, effect.to, { type: 'answer', id, word: effect.word })
      case 'ask': return this.#send(name, effect.to, { type: 'ask', id: ++this.#ids, target: effect.target, word: effect.word })
      case 'relay': {
        const asked = node.asks.get(effect.id)
        node.asks.delete(effect.id)
        if (asked !== undefined) this.#send(name, effect.to, { type: 'relay', id: effect.id, target: asked.target, reached: effect.reached, word: effect.word })
        return
      }
      case 'suspect': this.#count.suspicions++; return
      case 'lost': return this.#lost(name, node, effect)
    }
  }

  #stamp (name: string, node: Node): number {
    const id = ++this.#ids
    node.sentAtMs.set(id, this.world.clockOf(name))
    for (const old of node.sentAtMs.keys()) {
      if (node.sentAtMs.size <= 200) break
      node.sentAtMs.delete(old)
    }
    return id
  }

  #send (from: string, to: string, message: Message): void {
    if (!this.#cuts.has(`${from}>${to}`)) this.world.send(from, to, message)
  }

  // --- verdicts

  #lost (name: string, node: Node, { device, why }: Extract<DetectorEffect, { type: 'lost' }>): void {
    this.#count[why]++
    this.world.trace('lost', `${name} ${device} ${why}`)
    const other = this.#node(device)
    const life = node.links.get(device)
    node.links.delete(device)
    if (why === 'dead' && !this.#isExcused(name, device)) this.#violations.add('a device that was there was declared dead')
    if (!other.isUp && other.life === life) this.#noticedMs.push(this.world.now - other.downAtMs)
    if (other.isUp && other.life === life && this.#reaches(name, device)) this.#close(device, other, name)
  }

  #isExcused (name: string, device: string): boolean {
    const { now } = this.world
    const other = this.#node(device)
    if (!other.isUp || now - Math.max(other.downAtMs, other.frozenUntilMs) < EXCUSE_MS) return true
    return !this.world.connected(name, device) || now - this.#apartAtMs < EXCUSE_MS
  }

  #atRest (): void {
    for (const [name, node] of this.#nodes) {
      for (const other of this.#nodes.keys()) {
        if (other !== name && node.detector.state(other as DeviceId) === undefined) this.#violations.add('somebody is missed for ever')
      }
    }
  }

  // --- connections

  #dial (): void {
    const names = [...this.#nodes.keys()]
    for (const [i, a] of names.entries()) {
      for (const b of names.slice(i + 1)) this.#connect(a, b)
    }
  }

  #connect (a: string, b: string): void {
    const [one, two] = [this.#node(a), this.#node(b)]
    const isAwake = Math.max(one.stalledUntilMs, two.stalledUntilMs) <= this.world.now && one.inbox.length + two.inbox.length === 0
    if (!one.isUp || !two.isUp || !isAwake || !this.#reaches(a, b) || !this.#reaches(b, a)) return
    if (one.links.get(b) === two.life && two.links.get(a) === one.life) return
    for (const [name, node, other, life] of [[a, one, b, two.life], [b, two, a, one.life]] as const) {
      node.links.set(other, life)
      this.#handle(name, node, { type: 'joined', device: other as DeviceId })
    }
  }

  #close (name: string, node: Node, other: string): void {
    this.#whenAwake(node, () => {
      node.links.delete(other)
      this.#handle(name, node, { type: 'left', device: other as DeviceId })
    })
  }

  #reaches (from: string, to: string): boolean { return !this.#cuts.has(`${from}>${to}`) && this.world.connected(from, to) }

  // --- faults

  #faults (endMs: number): void {
    const { crash, partition, cut, stall, slow, freeze } = this.#plan.faults ?? {}
    this.#now(endMs, crash, () => { this.#crash(endMs) })
    this.#now(endMs, partition, () => { this.#partition() })
    this.#now(endMs, cut, () => { this.#cut() })
    // Silence below the shortest time in which a device can be declared dead.
    this.#now(endMs, stall, () => { this.#rested(name => { this.#stall(name, 500 + 1_500 * this.world.random()) }) })
    this.#now(endMs, slow, () => { this.#rested(name => { this.#slow(name, this.world.now + 20_000) }) })
    this.#now(endMs, freeze, () => { this.#rested(name => { this.#freeze(name, 3_000 + 12_000 * this.world.random()) }) })
  }

  #now (endMs: number, everyS: number | undefined, act: () => void): void {
    if (everyS === undefined) return
    for (let ms = 10_000; (ms += 2_000 * everyS * this.world.random()) < endMs;) this.world.at(ms, act)
  }

  #crash (endMs: number): void {
    const name = this.#any()
    const node = this.#node(name)
    if (!node.isUp || [...this.#nodes.values()].filter(({ isUp }) => isUp).length <= 2) return
    this.#count.crashes++
    node.isUp = false
    node.downAtMs = this.world.now
    this.world.crash(name)
    const { life } = node
    this.world.at(this.world.now + NOTICE_MS, () => { this.#checkNoticed(name, life) })
    // Some come back before anybody has missed them.
    this.world.at(Math.min(endMs, this.world.now + (this.world.random() < 0.3 ? 1_000 : 15_000 + 20_000 * this.world.random())), () => { if (!this.#node(name).isUp) this.#boot(name) })
  }

  #checkNoticed (name: string, life: number): void {
    for (const node of this.#nodes.values()) {
      if (node.isUp && this.world.now - node.stalledUntilMs > NOTICE_MS && node.links.get(name) === life) this.#violations.add('a crash was not noticed')
    }
  }

  #partition (): void {
    if (this.#isApart) return
    const side = [...this.#nodes.keys()].filter(() => this.world.random() < 0.4)
    this.#isApart = true
    this.world.partition([side, [...this.#nodes.keys()].filter(name => !side.includes(name))])
    this.world.at(this.world.now + 3_000 + 20_000 * this.world.random(), () => { this.#heal() })
  }

  #heal (): void {
    this.#isApart = false
    this.#apartAtMs = this.world.now
    this.world.heal()
  }

  /** Two devices cannot reach each other, in one direction or both; all others reach both. */
  #cut (): void {
    // One pair at a time: with two, a small mesh may fall apart.
    if (this.#cuts.size > 0) return
    const [a, b] = [this.#any(), this.#any()]
    const both = this.world.random() < 0.5
    const links = a === b ? [] : both ? [`${a}>${b}`, `${b}>${a}`] : [`${a}>${b}`]
    for (const link of links) this.#cuts.add(link)
    this.world.at(this.world.now + 2_000 + 20_000 * this.world.random(), () => { for (const link of links) this.#cuts.delete(link) })
  }

  /** One stall after the other would be one long one. */
  #rested (act: (name: string) => void): void {
    const name = this.#any()
    if (this.world.now - this.#node(name).stalledUntilMs > 5_000) act(name)
  }

  #stall (name: string, ms: number): void {
    const node = this.#node(name)
    node.stalledUntilMs = Math.max(node.stalledUntilMs, this.world.now + ms)
  }

  /** Suspended. */
  #freeze (name: string, ms: number): void {
    this.#stall(name, ms)
    this.#node(name).frozenUntilMs = this.world.now + ms
  }

  /** Starved: runs for an instant every second or two. */
  #slow (name: string, untilMs: number): void {
    const ms = 600 + 1_200 * this.world.random()
    this.#stall(name, ms)
    if (this.world.now < untilMs) this.world.at(this.world.now + ms + 30, () => { this.#slow(name, untilMs) })
  }

  #mend (): void {
    this.#cuts.clear()
    this.#heal()
    for (const [name, node] of this.#nodes) {
      node.stalledUntilMs = 0
      if (!node.isUp) this.#boot(name)
    }
  }

  #any (): string { return `d${Math.floor(this.world.random() * this.#plan.members)}` }

  #node (name: string): Node { return this.#nodes.get(name) as Node }
}
