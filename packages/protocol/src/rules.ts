/**
 * The safety rules of the machines, by name. The simulator turns them off one by one, to show that each is needed.
 *
 * A rule can be turned off only with a symbol that no published entry point exports: whoever uses the package has all of them
 * on. `@elder-node/protocol/mutants` exists in this repository alone.
 */

/** The rules of the line in front of a builder. */
export interface LineRules {
  /** A silent reservation does not keep the slot. */
  bindTimeout: boolean
  /** A slot that nobody has answered for is offered to the next in line, and to the same one again. */
  offerAgain: boolean
  /** Who does not answer keeps its reservation. */
  keepReservation: boolean
}

/** Every rule that keeps slots honest. */
export interface SlotRules extends LineRules {
  /** A lease takes its slot when it is granted, not when its build starts. */
  countHeld: boolean
  /** No newcomer gets the slot about which somebody in line is asked. */
  countAsked: boolean
  /** A slot is free only when the processes are gone. */
  countEnding: boolean
  /** The same claim again gets the same lease. */
  idempotent: boolean
  /** A build's fences rise strictly. */
  fence: boolean
  /** A lease that is not renewed ends. */
  lapse: boolean
  /** A lost stream may come back within the grace. */
  grace: boolean
  /** Validity counts from our own stamp, not from when its echo arrived. */
  stamp: boolean
  /** Nothing is granted before left-overs are swept. */
  sweepFirst: boolean
  /** A yes gets a slot only while one is free. */
  yesNeedsSlot: boolean
}

export const SLOT_RULES: SlotRules = {
  countHeld: true, countAsked: true, countEnding: true, idempotent: true, fence: true, lapse: true, grace: true, stamp: true,
  sweepFirst: true, yesNeedsSlot: true, bindTimeout: true, offerAgain: true, keepReservation: true,
}

/** The rules of one claim round. */
export interface ClaimRules {
  /** One builder at a time is told yes, and only the first grant counts. */
  firstOnly: boolean
  /** A silent builder is passed over. */
  timeout: boolean
  /** A yes whose answer is lost is said again. */
  sayAgain: boolean
  /** A builder that says that it has a free slot is asked for it at once. */
  askFree: boolean
  /** When nobody else is left, silent builders are asked again for a while. */
  patience: boolean
}

export const CLAIM_RULES: ClaimRules = { firstOnly: true, timeout: true, sayAgain: true, askFree: true, patience: true }

/** The rules that keep results single. */
export interface BuildRules extends ClaimRules {
  /** A result counts only with the current lease and fence. */
  currentOnly: boolean
  /** What comes on the stream of another builder is not of this lease, whatever its id says. */
  ownBuilder: boolean
  /** One result is accepted. */
  once: boolean
  /** An exclusive build waits for the sure end of its old lease. */
  exclusiveWait: boolean
  /** 6 s of silence make a builder suspect. */
  silence: boolean
  /** A lease that is gone before its build began costs no attempt. */
  waitAgain: boolean
  /** While nobody else takes the build, a builder that was lost has time to come back. */
  comeBack: boolean
}

export const BUILD_RULES: BuildRules = {
  ...CLAIM_RULES, currentOnly: true, ownBuilder: true, once: true, exclusiveWait: true, silence: true, waitAgain: true, comeBack: true,
}

/** The rules of the failure detector. */
export interface DetectorRules {
  /** Others are asked to probe a device that does not answer us. */
  indirect: boolean
  /** A device that hears itself called suspect says that it is alive. */
  refute: boolean
  /** Of two words about a device the one with the higher incarnation counts. */
  compare: boolean
  /** A device that was late itself gives others more time. */
  health: boolean
  /** Silence makes a device suspect before it makes it dead. */
  suspicion: boolean
}

export const DETECTOR_RULES: DetectorRules = { indirect: true, refute: true, compare: true, health: true, suspicion: true }

const SWITCHES = Symbol('rules that are switched')

/** The rules of a machine that is made with `init`: all of `on`, unless {@link withRules} switched some. */
export function rulesOf<R extends object> (init: object, on: R): R {
  return { ...on, ...(init as { [SWITCHES]?: Partial<R> })[SWITCHES] }
}

/** `init` for a machine with some rules switched. For the simulator; a copy of the object carries them along. */
export function withRules<T extends object> (init: T, rules: object): T { return { ...init, [SWITCHES]: rules } }
