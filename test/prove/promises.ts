/** The eleven promises, what shows each of them, and how much of it a short and a long run does. */
import { builds, fuzz, logKills, mergeOrders, town, type Measured } from './rigs.ts'

/** How much a run does. */
export interface Size { townRuns: number, townMinutes: number, histories: number, inputs: number, yardRuns: number, leaseHours: number, logKills: number }
export const SHORT: Size = { townRuns: 4, townMinutes: 4, histories: 300, inputs: 800, yardRuns: 3, leaseHours: 2, logKills: 8 }
/** About half an hour on two quiet cores. */
export const LONG: Size = { townRuns: 60, townMinutes: 10, histories: 20_000, inputs: 40_000, yardRuns: 80, leaseHours: 80, logKills: 200 }

export interface Promised {
  id: string
  promise: string
  /** Test files whose every case must hold. */
  tests: string[]
  /** Of those files only the cases whose name holds this. */
  match?: RegExp
  /** Test files of a long run, besides. */
  longTests?: string[]
  rig?: (size: Size, shared: Shared) => Promise<Measured> | Measured
  /** Why this promise is not kept yet. */
  open?: string
}

/** What two rows read from one run. */
export interface Shared { town: (size: Size) => ReturnType<typeof town> }

export function shared (): Shared {
  let run: ReturnType<typeof town> | undefined
  return { town: ({ townRuns, townMinutes }) => run ??= town(townRuns, townMinutes) }
}

const STACK = 'packages/crdt-stack/test'
const NODE = 'packages/node/test'

export const PROMISES: Promised[] = [
  {
    id: 'P1', promise: 'Nobody joins uninvited; a ticket admits one device.', tests: [`${NODE}/services/membership.test.ts`, 'packages/protocol/test/membership/ticket.test.ts'],
    rig: async (size, { town }) => { const { ok, invited, figure } = await town(size); return { ok, figure: ok ? `${invited}: none uninvited, none twice` : figure } },
  },
  {
    id: 'P2', promise: 'An evicted device never returns through a peer.', tests: [`${NODE}/services/membership.test.ts`], match: /evict/i, longTests: ['packages/protocol/test/membership'],
    rig: async (size, { town }) => {
      const orders = mergeOrders(size.histories)
      const { ok, evicted } = await town(size)
      return { ok: ok && orders.ok, figure: `${orders.figure}; ${evicted}: none undone` }
    },
  },
  {
    id: 'P3', promise: 'An eviction closes connections within 2 s of being heard.', tests: [`${NODE}/mesh/libp2p.test.ts`], match: /removed/,
    rig: async (size, { town }) => { const { ok, evicted, figure } = await town(size); return { ok, figure: ok ? `${evicted}: none connected 2 s later` : figure } },
  },
  { id: 'P4', promise: 'A lost laptop, even that of the sole admin, never loses the mesh.', tests: [], open: 'until a mesh can be joined from its mirror' },
  { id: 'P5', promise: "No member can erase or block another's notes for good.", tests: [`${STACK}/fork.test.ts`, `${STACK}/hostile.test.ts`] },
  {
    id: 'P6', promise: 'No input bytes crash the node, hold it for 100 ms, or cost 50 MB.', tests: ['packages/protocol/test/hostile.test.ts'],
    rig: ({ inputs }) => fuzz(inputs, { slowestMsMax: 100, grownBytesMax: 50e6 }),
  },
  {
    id: 'P7', promise: 'A build has at most one accepted result; a slot is never overbooked.', tests: [`${NODE}/builds/builds.test.ts`],
    rig: ({ yardRuns, leaseHours }) => builds(yardRuns, 5, leaseHours),
  },
  { id: 'P8', promise: 'A build cannot touch the host, other builds or the net, and dies on time.', tests: [`${NODE}/hostile-process.test.ts`], longTests: ['test/engines/hostile.test.ts'] },
  {
    id: 'P9', promise: 'What was acknowledged survives SIGKILL, a full disk, and the loss of any host.',
    tests: [`${STACK}/fs.test.ts`, `${STACK}/git/kill.test.ts`, `${STACK}/mirror/restore.test.ts`], rig: size => logKills(size.logKills),
  },
  { id: 'P10', promise: 'A hostile git remote cannot change local state.', tests: [`${STACK}/git/hostile-remote.test.ts`, `${STACK}/mirror/lost.test.ts`] },
  { id: 'P11', promise: 'No web page can drive the node.', tests: [`${NODE}/http/server.test.ts`] },
]
