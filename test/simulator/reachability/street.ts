/**
 * A device that finds out whether others can dial it, as it ships, on a street where ports open and close, networks
 * change and peers
 * answer, hang or know nothing. The truth is the router's.
 */
import { createHash } from 'node:crypto'
import { deviceId, peerIdOf, type DeviceId } from '@elder-node/protocol'
import type { Reachability } from '../../../packages/node/src/adapters/libp2p/nat/reachability.ts'
import type { Reachable } from '../../../packages/node/src/ports/mesh.ts'
import { load, type Edit } from '../mutant.ts'
import { seededRandom } from '../random.ts'
import { VirtualTime, type Life } from '../virtual/time.ts'
import type { Mood, StreetStep } from './plan.ts'

/** `edits`: a mutant, which ends at the first thing that it does wrong. */
export interface StreetPlan { seed: number, steps: readonly StreetStep[], hours: number, edits?: readonly Edit[] }

export interface StreetOutcome { violations: string[], hash: string, events: number, asked: number, changes: number }

interface Peer { id: DeviceId, mood: Mood, moodMs: number, sinceMs: number, askedMs: number }
type Told = { state: Reachable, found: string | undefined }

const FILE = 'packages/node/src/adapters/libp2p/nat/reachability.ts'
const LOOK_MS = 20_000
/** Two looks, at each of which other peers may be the ones that cannot tell. */
const LATE_MS = 2_100_000
/** One that can tell is here, and perhaps five that hang. */
const UNKNOWN_MS = 400_000
const WINDOW_MS = 600_000
const ASKED_MAX = 3
/** Looks that no event asked for: after one, two and four minutes without an answer. */
const LOOKS_MAX = 5
const REST_MS = 5_000
const PORT = 4_707
const silent = (): void => {}

export class Street {
  readonly time = new VirtualTime()
  readonly #plan: StreetPlan
  readonly #random: () => number
  readonly #self = deviceId(createHash('sha256').update('street').digest())
  readonly #peers = new Map<number, Peer>()
  readonly #violations = new Set<string>()
  readonly #trace = createHash('sha256')
  #Reachability: typeof Reachability | undefined
  #life: Life | undefined
  #reachability: Reachability | undefined
  #told: Told = { state: 'unknown', found: undefined }
  #network = 1
  #isOpen = false
  /** The router, the network and the device's own life are as they are since then. */
  #steadyMs = 0
  #asking = 0
  readonly #askedMs: number[] = []
  readonly #eventsMs: number[] = []
  #changes = 0
  #asked = 0

  constructor (plan: StreetPlan) {
    this.#plan = plan
    this.#random = seededRandom(plan.seed)
  }

  async run (): Promise<StreetOutcome> {
    const { steps, hours, edits } = this.#plan
    this.#Reachability = (await load<{ Reachability: typeof Reachability }>(FILE, edits)).Reachability
    this.time.install()
    try {
      this.#boot()
      for (const step of steps) this.time.at(step.atMs, () => { this.#step(step) })
      for (let ms = LOOK_MS; ms <= hours * 3_600_000; ms += LOOK_MS) {
        await this.time.run(ms)
        this.#look()
        if (edits !== undefined && this.#violations.size > 0) break
      }
    } finally {
      this.time.uninstall()
    }
    return { violations: [...this.#violations], hash: this.#trace.digest('hex'), events: this.time.events, asked: this.#asked, changes: this.#changes }
  }

  // --- the device

  #boot (): void {
    const life = this.time.spawn('home', { rate: 0.99 + 0.02 * this.#random() })
    this.#life = life
    this.#asking = 0
    this.#steadyMs = this.time.now
    this.time.inside(life, () => {
      const one: Reachability = new (this.#Reachability as typeof Reachability)({
        log: { debug: silent, info: silent, warn: silent, error: silent }, random: this.#random,
        outside: () => [...this.#peers.values()].map(({ id }) => id),
        ask: (device, signal) => this.#ask(life, device, signal),
        ownAddresses: () => [this.#at(`192.168.${this.#network}.10`)],
        changed: () => {
          this.#changes++
          this.#told = { state: one.state, found: one.found }
          this.#trace.update(`${this.time.now.toFixed(1)} ${one.state} ${one.found ?? ''}\n`)
        },
      })
      this.#told = { state: one.state, found: one.found }
      this.#reachability = one
      one.start()
    })
    for (const peer of this.#peers.values()) this.#met(peer)
  }

  #at (ip: string, port = PORT): string { return `/ip4/${ip}/tcp/${port}/p2p/${peerIdOf(this.#self)}` }

  #within (act: (reachability: Reachability) => void): void {
    this.#eventsMs.push(this.time.now)
    const life = this.#life
    const one = this.#reachability
    if (life !== undefined && one !== undefined) this.time.within(life, () => { act(one) })
  }

  #met (peer: Peer): void {
    peer.sinceMs = this.time.now
    this.#within(one => { one.met(peer.id) })
  }

  async #ask (life: Life, device: DeviceId, signal: AbortSignal): Promise<string | undefined> {
    if (life !== this.#life) this.#violate('a device that had stopped asked on')
    if (++this.#asking > 1) this.#violate('two looks ran at once')
    this.#asked++
    this.#askedMs.push(this.time.now)
    try {
      return await this.#answer([...this.#peers.values()].find(({ id }) => id === device), signal)
    } finally {
      if (life === this.#life) this.#asking--
    }
  }

  async #answer (peer: Peer | undefined, signal: AbortSignal): Promise<string | undefined> {
    const mood = peer?.mood ?? 'old'
    const isOpen = this.#isOpen
    const ip = `203.0.113.${this.#network}`
    await this.#wait(mood === 'hangs' ? 2 ** 31 : 20 + 4_000 * this.#random(), signal)
    if (peer === undefined || mood === 'old') throw new Error('it cannot tell')
    const restedMs = this.time.now - peer.askedMs
    peer.askedMs = this.time.now
    if (restedMs < REST_MS) throw new Error('it has just dialled back')
    if (!isOpen || mood === 'blind') return undefined
    return this.#at(ip, mood === 'wrong' ? 22 : PORT)
  }

  #wait (ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        reject(signal.reason as Error)
      }, { once: true })
    })
  }

  // --- what happens

  #step (step: StreetStep): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${JSON.stringify(step)}\n`)
    switch (step.type) {
      case 'port': {
        if (this.#isOpen !== step.isOpen) this.#steadyMs = Math.max(this.#steadyMs, this.time.now)
        this.#isOpen = step.isOpen
        return
      }
      case 'move': return this.#move(step.isOpen)
      case 'come': return this.#come(step)
      case 'go': this.#peers.delete(step.peer); return
      case 'stall': case 'sleep': return this.#pause(step)
      case 'restart': return this.#restart(step)
    }
  }

  /** The device looks at its interfaces every few seconds. */
  #move (isOpen: boolean): void {
    this.#network = 1 + this.#network % 200
    this.#isOpen = isOpen
    this.#steadyMs = Math.max(this.#steadyMs, this.time.now)
    const network = this.#network
    this.time.at(this.time.now + 5_000 * this.#random(), () => { if (network === this.#network) this.#within(one => { one.moved() }) })
  }

  #come ({ peer: place, mood }: Extract<StreetStep, { type: 'come' }>): void {
    const known = this.#peers.get(place)
    const id = deviceId(createHash('sha256').update(`peer ${place}`).digest())
    const peer: Peer = known ?? { id, mood, moodMs: this.time.now, sinceMs: this.time.now, askedMs: -Infinity }
    if (peer.mood !== mood) peer.moodMs = this.time.now
    peer.mood = mood
    this.#peers.set(place, peer)
    this.#met(peer)
  }

  #pause ({ type, forMs }: Extract<StreetStep, { type: 'sleep' | 'stall' }>): void {
    const life = this.#life
    if (life === undefined) return
    this.time.stall(life, forMs)
    this.#steadyMs = Math.max(this.#steadyMs, life.stalledUntilMs)
    if (type === 'sleep') this.time.at(life.stalledUntilMs, () => { this.#within(one => { one.again() }) })
  }

  #restart ({ isClean, downMs }: Extract<StreetStep, { type: 'restart' }>): void {
    const life = this.#life
    if (life === undefined) return
    const ended = (): void => {
      if (this.#life !== life) return
      this.#life = this.#reachability = undefined
      this.time.at(this.time.now + downMs, () => { this.#boot() })
    }
    if (!isClean) this.time.kill(life)
    if (!isClean) return ended()
    this.time.within(life, () => {
      this.#reachability?.stop()
      ended()
    })
  }

  // --- what must be so

  #look (): void {
    const { now } = this.time
    const one = this.#reachability
    const life = this.#life
    if (one === undefined || life === undefined || now <= life.stalledUntilMs) return
    if (one.state !== this.#told.state || one.found !== this.#told.found) {
      this.#violate('nobody was told that the device is reached otherwise')
    }
    if (one.found !== undefined && !one.found.includes(`/tcp/${PORT}/`)) {
      this.#violate('a port that the device does not listen on was told')
    }
    const isMoved = now - Math.max(this.#steadyMs, life.bootMs) > 2 * REST_MS
    if (isMoved && one.found !== undefined && !one.found.includes(`203.0.113.${this.#network}/`)) {
      this.#violate('an address of a network that the device has left was told')
    }
    this.#lookAtTruth(one)
    this.#lookAtQuestions()
  }

  #lookAtTruth ({ state }: Reachability): void {
    const { now } = this.time
    const peers = [...this.#peers.values()]
    const able = peers.filter(({ mood, sinceMs }) => mood === 'able' && now - sinceMs > UNKNOWN_MS)
    if (able.length === 0) return
    if (state === 'unknown' && now - this.#steadyMs > UNKNOWN_MS) {
      this.#violate('a device did not know whether it is reached, and a peer could tell')
    }
    const blind = peers.filter(({ mood }) => mood === 'blind').length
    // Three that reach nobody may be the ones that are asked; with silent ones beside them it may be so until those
    // are known.
    if (blind >= ASKED_MAX) return
    const known = blind > 0 ? peers.map(({ moodMs }) => moodMs) : []
    const steadyMs = Math.max(this.#steadyMs, Math.min(...able.map(({ sinceMs }) => sinceMs)), ...known)
    if (now - steadyMs < LATE_MS) return
    if (this.#isOpen && state !== 'public') this.#violate('a device that others can dial did not come to know it')
    if (!this.#isOpen && state !== 'private') this.#violate('a device that nobody can dial did not come to know it')
  }

  #lookAtQuestions (): void {
    const since = (times: number[]): number => {
      while ((times[0] ?? Infinity) < this.time.now - WINDOW_MS) times.shift()
      return times.length
    }
    if (since(this.#askedMs) > ASKED_MAX * (LOOKS_MAX + since(this.#eventsMs))) {
      this.#violate('peers were asked again and again')
    }
  }

  #violate (what: string): void {
    this.#violations.add(what)
    this.#trace.update(`${this.time.now.toFixed(1)} violation ${what}\n`)
  }
}
