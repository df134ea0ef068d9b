/**
 * When to exchange with whom: pure, `handle(input, now) -> effects`.
 *
 * - a device is admitted: the lower id opens an exchange at once (both connect, one exchange);
 * - every `intervalMs`, jittered: one random peer, so that a hint that was lost is repaired;
 * - gossip showed that we are behind: now, with whom said so when it is connected, else with a random peer;
 * - something changed that no gossip tells (an import, other cuts): now, with every peer;
 * - an exchange failed: again after a delay that doubles, for as long as the peer is there.
 *
 * One exchange per peer at a time, `concurrentMax` in all: memory stays bounded.
 */
import type { DeviceId } from '../ids.ts'

export type AntiEntropyInput =
  | { type: 'admitted', device: DeviceId }
  | { type: 'gone', device: DeviceId }
  /** An exchange that we opened is over. */
  | { type: 'ended', device: DeviceId, ok: boolean }
  | { type: 'behind', device: DeviceId }
  | { type: 'changed' }
  | { type: 'tick' }

/** Open an exchange with this device. */
export interface AntiEntropyEffect { type: 'sync', device: DeviceId }

export interface AntiEntropyInit {
  /** Milliseconds between rounds. @default 30_000 */
  intervalMs?: number
  /** Share of the interval by which a round moves either way. @default 0.2 */
  jitter?: number
  /** First delay after a failure, milliseconds; doubles with each. @default 1000 */
  retryMs?: number
  /** Longest delay after a failure, milliseconds. @default 30_000 */
  retryMsMax?: number
  /** Exchanges open at once. @default 4 */
  concurrentMax?: number
}

interface PeerState { running: boolean, dueAt: number | undefined, failures: number }

export class AntiEntropy {
  readonly #self: DeviceId
  readonly #random: () => number
  readonly #init: Required<AntiEntropyInit>
  readonly #peers = new Map<DeviceId, PeerState>()
  #roundAt: number | undefined

  /** @param components.random uniform in [0, 1) */
  constructor (components: { self: DeviceId, random: () => number }, init: AntiEntropyInit = {}) {
    this.#self = components.self
    this.#random = components.random
    this.#init = { intervalMs: 30_000, jitter: 0.2, retryMs: 1000, retryMsMax: 30_000, concurrentMax: 4, ...init }
  }

  handle (input: AntiEntropyInput, now: number): AntiEntropyEffect[] {
    switch (input.type) {
      case 'admitted': this.admitted(input.device, now); break
      case 'gone': this.#peers.delete(input.device); break
      case 'ended': this.ended(input.device, input.ok, now); break
      case 'behind': this.behind(input.device, now); break
      case 'changed': for (const peer of this.#peers.values()) peer.dueAt = now; break
      case 'tick': this.round(now); break
    }
    return this.#due(now)
  }

  protected admitted (device: DeviceId, now: number): void {
    const known = this.#peers.get(device) ?? { running: false, dueAt: undefined, failures: 0 }
    this.#peers.set(device, known)
    if (this.#self < device) known.dueAt = now
  }

  protected ended (device: DeviceId, ok: boolean, now: number): void {
    const peer = this.#peers.get(device)
    if (peer === undefined) return
    peer.running = false
    peer.failures = ok ? 0 : peer.failures + 1
    const { retryMs, retryMsMax } = this.#init
    if (!ok) peer.dueAt = now + Math.min(retryMsMax, retryMs * 2 ** (peer.failures - 1)) * (0.5 + this.#random())
  }

  protected behind (device: DeviceId, now: number): void {
    const peer = this.#peers.get(device) ?? this.#anyone()
    if (peer !== undefined) peer.dueAt = Math.min(peer.dueAt ?? now, now)
  }

  #anyone (): PeerState | undefined {
    const peers = [...this.#peers.keys()].sort()
    const chosen = peers[Math.floor(this.#random() * peers.length)]
    return chosen === undefined ? undefined : this.#peers.get(chosen)
  }

  protected round (now: number): void {
    const { intervalMs, jitter } = this.#init
    const next = (): number => now + intervalMs * (1 - jitter + 2 * jitter * this.#random())
    this.#roundAt ??= next()
    if (now < this.#roundAt) return
    this.#roundAt = next()
    const peer = this.#anyone()
    if (peer !== undefined) peer.dueAt ??= now
  }

  #due (now: number): AntiEntropyEffect[] {
    const running = [...this.#peers.values()].filter(peer => peer.running).length
    const due = [...this.#peers].filter(([, peer]) => !peer.running && peer.dueAt !== undefined && peer.dueAt <= now)
    return due.slice(0, Math.max(0, this.#init.concurrentMax - running)).map(([device, peer]) => {
      peer.running = true
      peer.dueAt = undefined
      return { type: 'sync', device }
    })
  }
}
