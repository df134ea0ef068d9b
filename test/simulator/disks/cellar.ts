/**
 * The disks of a builder: each build under the watch that ships, on disks that others fill and empty too, with the
 * alerts that tell of
 * it. The truth is how many bytes each folder holds.
 */
import { createHash } from 'node:crypto'
import type { StatsFs } from 'node:fs'
import type { DiskWatch } from '../../../packages/node/src/adapters/disk-watch.ts'
import type { Alerts } from '../../../packages/node/src/services/alerts.ts'
import { device, SELF } from '../../../packages/node/test/support/fake-node.ts'
import { load, type Edit } from '../mutant.ts'
import { seededRandom } from '../random.ts'
import { VirtualTime, type Life } from '../virtual/time.ts'
import { MB, type CellarStep, type Kind } from './plan.ts'

/** `edits`: a mutant of the watch, which ends at the first thing that it does wrong. */
export interface CellarPlan {
  seed: number
  steps: readonly CellarStep[]
  minutes: number
  edits?: readonly Edit[]
  alertEdits?: readonly Edit[]
}

export interface CellarOutcome {
  violations: string[]
  hash: string
  events: number
  builds: number
  /** Builds that were ended, by why, and times that the alert was told. */
  limits: number, reserves: number, told: number
}

interface Disk {
  totalBytes: number
  /** What others hold, and until when. */
  otherBytes: number
  hasFiles: boolean
  /** Less than the reserve was free, all the time since then; and when that was last so. */
  lowSinceMs: number | undefined
  lowMs: number
  /** When somebody else last took or freed space. */
  otherMs: number
  endedMs: number
  /** A walk of a watch under way can hide that space was freed. */
  freedMs: number
}

interface Build {
  step: Extract<CellarStep, { type: 'build' }>
  folder: string
  disk: Disk
  kind: Kind
  startMs: number
  startFree: number
  leastFree: number
  killedMs: number | undefined
  removedMs: number | undefined
  ends: number
  /** Somebody filled the disk before this build had looked at it. */
  isUnclear: boolean
  isStopped: boolean
  watch: DiskWatch | undefined
  overMs: number | undefined
  walkedMs: number
}

const LOOK_MS = 500
const GB = 1_024 * MB
/** The share below which this node says that a disk is low, and the one from which it is well again. */
const LOW = 0.1
const ENOUGH = 0.12
const SAMPLE_MS = 5_000
const TOLD_MS = 25_000
const KILL_MS = 800
const MERCY_MS = 2_000
/** To look, to count, to kill. */
const ROOM_MS = 8_000
/** To look a last time, and what a look of this world may be late. */
const FULL_MS = 700
const FIRST_MS = 1_000
const silent = (): void => {}

export class Cellar {
  readonly time = new VirtualTime()
  readonly #plan: CellarPlan
  readonly #random: () => number
  readonly #disks: Disk[] = [120 * GB, 16 * GB].map(totalBytes => ({
    totalBytes, otherBytes: totalBytes * 0.8, hasFiles: true,
    lowSinceMs: undefined, lowMs: -Infinity, otherMs: -Infinity, endedMs: -Infinity, freedMs: -Infinity,
  }))
  readonly #builds: Build[] = []
  readonly #violations = new Set<string>()
  readonly #trace = createHash('sha256')
  readonly #count = { limits: 0, reserves: 0, told: 0 }
  #Watch: typeof DiskWatch | undefined
  #life: Life
  #alerts: Alerts | undefined
  #sampled = 0
  #isTold = false
  /** Since when the alert should be there, or should not. */
  #dueMs: number | undefined
  #enoughMs: number | undefined
  #wasEnough = true

  constructor (plan: CellarPlan) {
    this.#plan = plan
    this.#random = seededRandom(plan.seed)
    this.#life = this.time.spawn('builder')
  }

  async run (): Promise<CellarOutcome> {
    const { edits, alertEdits, steps, minutes } = this.#plan
    this.#Watch = (await load<{ DiskWatch: typeof DiskWatch }>('packages/node/src/adapters/disk-watch.ts', edits)).DiskWatch
    const { Alerts: Told } = await load<{ Alerts: typeof Alerts }>('packages/node/src/services/alerts.ts', alertEdits)
    this.time.install()
    try {
      this.time.inside(this.#life, () => { this.#alerts = this.#newAlerts(Told) })
      for (const step of steps) this.time.at(step.atMs, () => { this.#step(step) })
      for (let ms = LOOK_MS; ms <= minutes * 60_000; ms += LOOK_MS) {
        await this.time.run(ms)
        this.#look()
        if ((edits ?? alertEdits) !== undefined && this.#violations.size > 0) break
      }
      for (const build of this.#builds) this.#stop(build)
    } finally {
      this.time.uninstall()
    }
    return { violations: [...this.#violations], hash: this.#trace.digest('hex'), events: this.time.events, builds: this.#builds.length, ...this.#count }
  }

  #newAlerts (Told: typeof Alerts): Alerts {
    return new Told({
      clock: this.time.clockOf(this.#life), self: SELF.id, loop: { worstLagS: () => 0, close: silent },
      addresses: () => ['/ip4/192.168.1.2/tcp/1'], waiting: () => [],
      devices: () => [device(SELF, { disk: { totalBytes: this.#first.totalBytes, freeBytes: this.#sampled } })],
      stacks: () => [], found: () => [],
      log: { debug: silent, info: silent, warn: silent, error: silent },
    }, { version: '0.1.0', crashesMs: [] })
  }

  get #first (): Disk { return this.#disks[0] as Disk }

  // --- the truth

  #held ({ step, startMs, killedMs, removedMs }: Build, nowMs = this.time.now): number {
    if (removedMs !== undefined && nowMs >= removedMs) return 0
    return step.bytes * Math.min(1, (Math.min(nowMs, killedMs ?? nowMs) - startMs) / step.growMs)
  }

  #free (disk: Disk): number {
    const held = this.#builds.reduce((sum, build) => build.disk === disk ? sum + this.#held(build) : sum, 0)
    return disk.totalBytes - disk.otherBytes - held
  }

  /** When less than the reserve was free last. */
  #lowMs (disk: Disk): number { return this.#isLow(disk) ? this.time.now : disk.lowMs }

  #isLow (disk: Disk): boolean { return !disk.hasFiles || this.#free(disk) < this.#reserve(disk) }

  #reserve ({ totalBytes }: Disk): number { return Math.min(GB, 0.05 * totalBytes) }

  #running (disk: Disk): Build[] { return this.#builds.filter(build => build.disk === disk && !build.isStopped && build.killedMs === undefined) }

  // --- what happens

  #step (step: CellarStep): void {
    this.#trace.update(`${this.time.now.toFixed(1)} ${JSON.stringify(step)}\n`)
    switch (step.type) {
      case 'build': return this.#build(step)
      case 'fill': return this.#fill(step)
      case 'files': return this.#useFiles(this.#disks[step.disk] as Disk, step.forMs)
      case 'stall': this.time.stall(this.#life, step.forMs); return
      case 'restart': {
        for (const build of this.#builds) this.#stop(build)
        return
      }
    }
  }

  #build (step: Extract<CellarStep, { type: 'build' }>): void {
    const disk = this.#disks[step.disk] as Disk
    const isFull = this.#free(disk) < 64 * MB || this.time.now < this.#life.stalledUntilMs
    if (isFull || this.#running(disk).length >= 4) return
    const startFree = this.#free(disk)
    const build: Build = {
      step, disk, folder: `/${step.disk}/${this.#builds.length}`, kind: step.kind, startMs: this.time.now, startFree,
      leastFree: startFree, killedMs: undefined, removedMs: undefined,
      ends: 0, isUnclear: false, isStopped: false, watch: undefined, overMs: undefined, walkedMs: -Infinity,
    }
    this.#builds.push(build)
    this.time.within(this.#life, () => {
      build.watch = new (this.#Watch as typeof DiskWatch)({
        folders: () => build.kind === 'lost' && this.time.now > build.startMs + FIRST_MS ? new Promise<string[]>(silent) : [build.folder],
        bytesMax: step.kind === 'upload' ? Infinity : step.limitBytes,
        onFull: ({ cause }) => { this.#ended(build, cause) },
        walk: (_folders, signal) => this.#walk(build, signal),
        statfs: () => this.#statfs(build),
      })
    })
    this.time.at(this.time.now + step.forMs, () => { this.#kill(build) })
  }

  async #walk (build: Build, signal: AbortSignal): Promise<number | undefined> {
    const { kind, disk, step: { walkMs } } = build
    if (kind === 'upload') return Infinity
    if (signal.aborted) return undefined
    const isLow = this.time.now - Math.max(this.#lowMs(disk), this.#life.stalledUntilMs) < ROOM_MS
    if (!isLow && this.time.now - build.walkedMs < 9.5 * walkMs) this.#violate('a tree was walked again and again')
    const before = this.#held(build)
    await this.#wait(kind === 'dense' ? 2 ** 31 : walkMs)
    build.walkedMs = this.time.now
    return this.#random() < 0.02 ? undefined : (before + this.#held(build)) / 2
  }

  async #statfs ({ disk }: Build): Promise<StatsFs> {
    await this.#wait(30 * this.#random())
    if (this.#random() < 0.005) throw new Error('ENOENT')
    const free = this.#free(disk)
    const files = disk.totalBytes / 4_096
    return { type: 1, bsize: 1, blocks: disk.totalBytes, bfree: free, bavail: free, files, ffree: disk.hasFiles ? files / 2 : 12 } as StatsFs
  }

  #wait (ms: number): Promise<void> { return new Promise(resolve => { setTimeout(resolve, ms) }) }

  /** Its processes are gone in a moment, and its folder after them. */
  #kill (build: Build): void {
    if (build.killedMs !== undefined) return
    build.killedMs = this.time.now + KILL_MS * this.#random()
    build.removedMs = build.killedMs + KILL_MS * this.#random()
    build.disk.freedMs = build.removedMs
    this.time.at(build.removedMs, () => { this.#stop(build) })
  }

  #stop (build: Build): void {
    this.#kill(build)
    build.isStopped = true
    build.watch?.stop()
  }

  #fill ({ disk: place, leftBytes, forMs }: Extract<CellarStep, { type: 'fill' }>): void {
    const disk = this.#disks[place] as Disk
    const more = this.#free(disk) - leftBytes
    disk.otherBytes += more
    disk.otherMs = disk.freedMs = this.time.now
    for (const build of this.#builds) build.isUnclear ||= build.disk === disk && this.time.now - build.startMs < FIRST_MS
    this.time.at(this.time.now + forMs, () => {
      disk.otherBytes = disk.totalBytes * (0.8 + 0.12 * this.#random())
      disk.otherMs = disk.freedMs = this.time.now
    })
  }

  #useFiles (disk: Disk, forMs: number): void {
    disk.hasFiles = false
    this.time.at(this.time.now + forMs, () => { disk.hasFiles = true })
  }

  // --- what must be so

  #ended (build: Build, cause: 'limit' | 'reserve'): void {
    const { now } = this.time
    const { disk, step } = build
    this.#trace.update(`${now.toFixed(1)} ${build.folder} ${cause}\n`)
    this.#count[`${cause}s`]++
    if (build.isStopped) this.#violate('a build that was over was ended')
    if (++build.ends > 1) this.#violate('a build was ended twice')
    if (cause === 'limit' && this.#held(build) <= step.limitBytes) this.#violate('a build below its limit was ended')
    if (cause === 'reserve') this.#madeRoom(build)
    if (cause === 'reserve') disk.endedMs = now
    this.#kill(build)
  }

  #madeRoom (build: Build): void {
    const { now } = this.time
    const { disk } = build
    const stalledMs = now - this.#life.stalledUntilMs
    if (now - this.#lowMs(disk) > FULL_MS && stalledMs > ROOM_MS) {
      this.#violate('a build was ended for a disk that was not full')
    }
    const had = this.#running(disk).filter(({ startMs }) => now - startMs > FIRST_MS)
    const hadEnough = ({ startFree, leastFree }: Build): boolean =>
      Math.min(leastFree, this.#free(disk)) > Math.min(this.#reserve(disk), startFree / 2) + 20 * MB
    if (disk.hasFiles && had.includes(build) && had.every(one => !one.isUnclear && hadEnough(one))) {
      this.#violate('a build was ended for a disk that was low before it, and did not get worse')
    }
    if (disk === this.#first && disk.hasFiles && !this.#isTold && now - Math.max(disk.otherMs, this.#life.stalledUntilMs) > 60_000) {
      this.#violate('a build was ended for a full disk, and nobody had been told that it is low')
    }
    if (now - disk.endedMs < MERCY_MS) {
      this.#violate('a second build was ended before the space of the first had come back')
    }
    const rivals = this.#running(disk).filter(other => other !== build && now - other.startMs > ROOM_MS && other.kind !== 'upload')
    // Between the count and the end each may have grown.
    const isBigger = (other: Build): boolean => this.#held(other, now - ROOM_MS) > this.#held(build) + 20 * MB
    if (build.kind === 'plain' && rivals.some(other => other.kind !== 'plain' || isBigger(other))) {
      this.#violate('a small build was ended, and a bigger one went on')
    }
  }

  #look (): void {
    const { now } = this.time
    for (const disk of this.#disks) this.#lookAtDisk(disk)
    for (const build of this.#builds) if (!build.isStopped) this.#lookAtBuild(build)
    if (now < this.#life.stalledUntilMs + TOLD_MS) this.#dueMs = this.#enoughMs = undefined
    if (now >= this.#life.stalledUntilMs && now % SAMPLE_MS === 0) this.#lookAtAlerts()
  }

  #lookAtDisk (disk: Disk): void {
    const { now } = this.time
    const free = this.#free(disk)
    const isLow = this.#isLow(disk)
    disk.lowMs = isLow ? now : disk.lowMs
    disk.lowSinceMs = isLow ? disk.lowSinceMs ?? now : undefined
    const running = this.#running(disk)
    for (const build of running) {
      build.leastFree = Math.min(build.leastFree, free)
      if (now - build.startMs < FIRST_MS) build.startFree = Math.max(build.startFree, free)
    }
    // Those that began on a disk that was low keep less of it free.
    const watching = running.filter(({ startFree, startMs, kind, isUnclear }) =>
      !isUnclear && startFree > 2 * this.#reserve(disk) && now - startMs > ROOM_MS && kind !== 'lost')
    const begunMs = Math.max(...watching.map(({ startMs }) => startMs))
    const sinceMs = Math.max(disk.lowSinceMs ?? now, this.#life.stalledUntilMs, disk.endedMs, disk.freedMs, begunMs)
    if (watching.length > 0 && now - sinceMs > ROOM_MS) this.#violate('a disk stayed full while builds went on')
  }

  #lookAtBuild (build: Build): void {
    const { now } = this.time
    const { step: { limitBytes, walkMs }, kind, disk, killedMs } = build
    const isOver = kind === 'plain' && killedMs === undefined && this.#held(build) > limitBytes + 10 * MB
    build.overMs = isOver ? build.overMs ?? now : undefined
    if (build.overMs === undefined) return
    const overForMs = now - Math.max(build.overMs, build.startMs + FIRST_MS, this.#life.stalledUntilMs, disk.lowMs)
    // What is freed elsewhere hides what is taken here, until the next look once in a while.
    const isHidden = now - Math.max(disk.freedMs, disk.otherMs) < 60_000
    const longest = isHidden ? Math.max(15_000, 50 * walkMs) + 3 * walkMs : 24 * walkMs
    if (overForMs > longest + 3_000) this.#violate('a build over its limit went on')
  }

  #lookAtAlerts (): void {
    const { now } = this.time
    const share = this.#free(this.#first) / this.#first.totalBytes
    this.#sampled = Math.max(0, this.#free(this.#first))
    let isTold = false
    this.time.inside(this.#life, () => { isTold = this.#alerts?.problems().some(({ code }) => code === 'DISK_LOW') === true })
    this.#dueMs = share < LOW ? this.#dueMs ?? now : undefined
    this.#enoughMs = share >= ENOUGH ? this.#enoughMs ?? now : undefined
    if (this.#dueMs !== undefined && now - this.#dueMs > TOLD_MS && !isTold) {
      this.#violate('a disk was low, and nobody was told')
    }
    if (this.#enoughMs !== undefined && now - this.#enoughMs > TOLD_MS && isTold) {
      this.#violate('a disk had room again, and was still called low')
    }
    if (isTold && !this.#isTold) {
      this.#count.told++
      if (!this.#wasEnough) this.#violate('it was told again and again that a disk is low')
      this.#wasEnough = false
    }
    if (share >= ENOUGH) this.#wasEnough = true
    this.#isTold = isTold
  }

  #violate (what: string): void {
    this.#violations.add(what)
    this.#trace.update(`${this.time.now.toFixed(1)} violation ${what}\n`)
  }
}
