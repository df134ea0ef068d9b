/** What stacks hold and do not show, as problems: which device is at fault, and where to look. Nobody else's records suffer from it. */
import { feedDevice, type DeviceId } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'

/** One problem for each device and stack: thousands of void records are one fault. */
export function faultProblems (stacks: readonly HeldStack[], nameOf: (device: DeviceId) => string): Problem[] {
  return stacks.flatMap(held => [...damaged(held), ...forked(held, nameOf), ...unshown(held, nameOf)])
}

function damaged ({ name, stack }: HeldStack): Problem[] {
  return stack.damaged.map(({ file, at, bytes, feed }) => ({
    code: 'FEED_DAMAGED', message: `A file of the stack ${name} did not read at byte ${at} (${bytes} bytes). It is kept as it was: ${file}`,
    fix: `Look after the disk. Other devices and remotes send what is missing; then that file is yours to delete. Is it complete? elder-node stack verify ${name}`, file, device: { id: feedDevice(feed), name: '' },
  }))
}

function forked (held: HeldStack, nameOf: (device: DeviceId) => string): Problem[] {
  const devices = Map.groupBy(held.faults().forks, ({ feed }) => feedDevice(feed))
  return [...devices].map(([id, forks]) => ({
    code: 'FEED_FORKED', device: { id, name: nameOf(id) },
    message: `${nameOf(id)} wrote two histories in the stack ${held.name} (record ${forks[0]?.seq} of ${forks[0]?.feed}): its disk went back in time, or its key is used twice. Both are kept and shown.`,
    fix: `If its disk was restored or copied, nothing is lost. If nobody did that, its key is known to somebody else: elder-node evict ${nameOf(id)}`,
  }))
}

function unshown (held: HeldStack, nameOf: (device: DeviceId) => string): Problem[] {
  const records = Map.groupBy(held.faults().unshown, ({ state, why, device }) => `${state} ${why} ${device}`)
  return [...records.values()].flatMap(group => {
    const [first] = group
    if (first === undefined || first.why === EVICTED) return []
    const id = first.device ?? feedDevice(first.feed)
    const count = group.length === 1 ? 'One record' : `${group.length} records`
    return [{
      code: first.state === 'void' ? 'RECORD_VOID' : 'RECORD_SKIPPED', device: { id, name: nameOf(id) },
      message: `${count} in the stack ${held.name} (the first is ${first.seq} of ${first.feed}) ${group.length === 1 ? 'is' : 'are'} kept and not shown: ${first.why}. At fault: ${nameOf(id)}.`,
      fix: `Look after ${nameOf(id)}: its version, its disk, its owner. Nothing of other devices is lost.`,
    }]
  })
}

/** What an eviction hides is no fault: it was asked for. */
const EVICTED = 'its device was evicted'
