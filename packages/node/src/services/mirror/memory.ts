/** What the mirror remembers over restarts: per remote the last tip, per stack how its mirror stands. Without credentials. */
import type { MirrorMemory } from '@elder-node/crdt-stack/mirror'
import { fromUtf8, utf8 } from '@elder-node/protocol'
import type { MirrorStatus } from '../../api.ts'
import type { PrivateFiles } from '../../ports/files.ts'

export type StackState = Omit<MirrorStatus, 'url'>
export interface RemoteMemory { tips: MirrorMemory, stacks: Record<string, StackState> }

const FILE = 'mirrors.json'
const TIP = /^[0-9a-f]{40}$/
export const NEVER: StackState = { state: 'never', lastPush: null, message: null }

const BADNESS: Array<StackState['state']> = ['ok', 'never', 'behind', 'failing']

export function worstOf (states: StackState[]): StackState {
  const worst = [...states].sort((a, b) => BADNESS.indexOf(b.state) - BADNESS.indexOf(a.state))[0]
  const pushes = states.flatMap(state => state.lastPush ?? []).sort()
  return worst === undefined ? NEVER : { ...worst, lastPush: pushes.at(-1) ?? null }
}

/** By URL without credentials. Anything that does not read is forgotten: it costs one full check of the remote. */
export function loadMemory (files: PrivateFiles): Map<string, RemoteMemory> {
  try {
    const bytes = files.readCache(FILE)
    const saved = (bytes === undefined ? {} : JSON.parse(fromUtf8(bytes))) as Record<string, { lastTip?: unknown, verifiedTip?: unknown, stacks?: Record<string, StackState> }>
    return new Map(Object.entries(saved).map(([url, { lastTip, verifiedTip, stacks }]) => [url, { tips: { lastTip: tipOf(lastTip), verifiedTip: tipOf(verifiedTip) }, stacks: stacks ?? {} }]))
  } catch {
    return new Map()
  }
}

export function saveMemory (files: PrivateFiles, remotes: Map<string, RemoteMemory>): void {
  const saved = Object.fromEntries([...remotes].map(([url, { tips, stacks }]) => [url, { ...tips, stacks }]))
  files.replace(FILE, utf8(JSON.stringify(saved)))
}

function tipOf (value: unknown): MirrorMemory['lastTip'] {
  return typeof value === 'string' && TIP.test(value) ? value as Exclude<MirrorMemory['lastTip'], undefined> : undefined
}
