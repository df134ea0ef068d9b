/** What a person reads when a limit of the builder ended a build: what was used up, where, whose limit it is, what to do. Pure. */
import type { BuildResult, Failure } from '@elder-node/protocol'
import { formatSize, sizeText } from '../../quantities.ts'

export type LimitReason = 'memory' | 'pids' | 'disk'

/** Where the build ran, and what its requester asked for. */
export interface LimitAsked { builder: string, memoryBytes: number | null }

/** Null unless a limit ended the command. `MEMORY_LIMIT`, `PIDS_LIMIT`, `DISK_LIMIT`. */
export function limitFailure ({ reason, limit }: Pick<BuildResult, 'reason' | 'limit'>, asked: LimitAsked): Failure | null {
  if (reason === 'memory') return memory(limit, asked)
  if (reason === 'pids') return pids(limit, asked)
  return reason === 'disk' ? disk(limit, asked) : null
}

function memory (limit: number | null, { builder, memoryBytes }: LimitAsked): Failure {
  const wasAsked = memoryBytes !== null && memoryBytes === limit
  const whose = wasAsked ? 'the limit that was asked for' : 'the most that its owner gives one build'
  return {
    code: 'MEMORY_LIMIT', message: `killed: used more than ${limit === null ? 'its limit' : sizeText(limit)} of memory on ${builder}, ${whose}`,
    fix: wasAsked ? `Ask for more: --memory ${formatSize(limit * 2)}, or {"build":{"needs":{"memory":"${formatSize(limit * 2)}"}}} in .elder.json; or let the command do less at once.` : 'Build on a device with more memory (--on <device>), or let the command do less at once, such as make -j2.',
  }
}

function pids (limit: number | null, { builder }: LimitAsked): Failure {
  return {
    code: 'PIDS_LIMIT', message: `failed after it could start no more than ${limit === null ? 'its limit of' : limit} processes and threads on ${builder}`,
    fix: 'Does it start itself again and again? Else let it do less at once, such as make -j4; only the owner of the builder sets this limit.',
  }
}

function disk (limit: number | null, { builder }: LimitAsked): Failure {
  return {
    code: 'DISK_LIMIT', message: `killed: its files, temporary ones included, took more than ${limit === null ? 'their limit' : sizeText(limit)} on ${builder}, or all that its disk had to spare`,
    fix: 'Let it write less or remove what it no longer needs, or build on a device with more disk: --on <device>. `elder-node status` shows what is free.',
  }
}
