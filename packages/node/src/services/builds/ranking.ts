/** From what is known of the devices to whom a build asks, and why. */
import { imageHint, rank, refusal, score, type Advert, type DeviceId, type History, type Known, type Needs, type Prospect, type RankContext, type Ranked } from '@elder-node/protocol'
import type { CandidateExplanation, DeviceRef } from '../../api.ts'

export interface RankingInput {
  known: Known[]
  needs: Needs
  project: string
  /** The command as one text. */
  command: string
  history: History
  /** On the clock of the history. */
  nowMs: number
  rttMs: (device: DeviceId) => number | undefined
  relayed: (device: DeviceId) => boolean
  ref: (device: DeviceId) => DeviceRef
  context: RankContext
}

export interface ElectionResult { order: Ranked[], why: string, candidates: CandidateExplanation[] }

/** A pack for a builder that never saw the project; two edited files for one that did. */
const COLD_BYTES = 2_000_000
const WARM_BYTES = 2_000
const DIRECT_BYTES_PER_S = 10_000_000
const RELAYED_BYTES_PER_S = 1_000_000
/** Measured: `docker run` 0.6 s, a sandbox 10 ms. */
const CONTAINER_BOOT_S = 0.6
/** An image of 400 MB at 100 Mbit/s. */
const PULL_S = 32

export function electBuilder (input: RankingInput): ElectionResult {
  const refused = new Map(input.known.map(known => [known.device, refusal(known, input.needs)]))
  const prospects = input.known.filter(known => refused.get(known.device) === null).map(known => prospect(known, input))
  const { order, why } = rank(prospects, input.context)
  const scored = new Map(prospects.map(p => [p.device, score(p)]))
  const ranked = new Set(order.map(r => r.device))
  const rest = input.known.filter(known => !ranked.has(known.device))
  const candidates = [...order.map(r => explain(r.device, input, scored.get(r.device), null)), ...rest.map(known => explain(known.device, input, undefined, refused.get(known.device) ?? null))]
  return { order, why, candidates }
}

function prospect ({ device, self, advert }: Known, input: RankingInput): Prospect {
  const { history, nowMs } = input
  const warm = self || advert?.projects.includes(input.project.slice(0, 8)) === true
  const used = history.usedMs(device)
  return {
    device, rttMs: self ? 0 : input.rttMs(device), bytesMissing: self ? 0 : warm ? WARM_BYTES : COLD_BYTES,
    bandwidthBytesPerS: input.relayed(device) ? RELAYED_BYTES_PER_S : DIRECT_BYTES_PER_S,
    queueWaitS: advert === undefined || advert.slots.free > 0 ? 0 : Math.max(1, advert.expectedWaitS),
    bootS: bootS(advert, input.needs),
    runS: history.runS(input.project, input.command), speed: history.speed(device) * (advert?.speed || 1),
    success: history.success(device, nowMs), unusedMs: used === undefined ? Infinity : nowMs - used,
  }
}

/** Which images are warm is a hint of at most eight: the advert of a builder with more may not name the one. */
function bootS (advert: Advert | undefined, { image }: Needs): number {
  if (advert?.engine !== 'docker' && advert?.engine !== 'podman') return 0
  return CONTAINER_BOOT_S + (image === null || advert.images.includes(imageHint(image)) ? 0 : PULL_S)
}

function explain (device: DeviceId, input: RankingInput, scored: Ranked | undefined, refused: string | null): CandidateExplanation {
  const self = input.known.find(known => known.device === device)?.self === true
  const guessed = scored !== undefined && !input.history.ran(input.project, input.command)
  return { device: input.ref(device), rttMs: self ? 0 : input.rttMs(device) ?? null, terms: scored === undefined ? {} : { ...scored.terms }, score: scored?.score ?? null, ...(guessed ? { guessed } : {}), refused }
}
