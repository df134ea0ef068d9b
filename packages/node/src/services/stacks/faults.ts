/**
 * What stacks hold and do not show, as problems: which device is at fault, and where to look. What others built on its
 * text is hidden with that.
 */
import type { Fork, UnshownRecord, WaitingRecords } from '@elder-node/crdt-stack'
import { feedDevice, LIMITS, type DeviceId } from '@elder-node/protocol'
import type { Problem } from '../../api.ts'
import type { HeldStack } from './held-stack.ts'

type NameOf = (device: DeviceId) => string

/**
 * One problem for each device and stack: thousands of void records are one fault.
 *
 * @param forksOf the forks to be told of; all that are held unless given
 */
export function faultProblems (
  stacks: readonly HeldStack[], nameOf: NameOf, forksOf: (held: HeldStack) => Fork[] = held => held.faults().forks,
): Problem[] {
  return stacks.flatMap(held => [...damaged(held), ...gone(held, nameOf), ...forked(held, forksOf(held), nameOf), ...dropped(held, nameOf), ...unshown(held, nameOf)])
}

/** Per stack one problem; an exchange that is under way is none yet, so whoever shows it holds it back for a while. */
export function recordsWait (held: HeldStack, nameOf: NameOf): Problem[] {
  const waiting = held.stack.waiting()
  if (waiting.length === 0) return []
  const { text, it } = counted(waiting, nameOf)
  const oldest = waiting.map(({ oldestAt }) => oldestAt).reduce((a, b) => b < a ? b : a)
  return [{
    code: 'RECORDS_WAIT',
    message: `${text} in the stack ${held.name} ${it} not shown: something before is missing here, ` +
      `and nobody has sent it. The oldest is of ${oldest}, by the clock of its device.`,
    fix: 'Start the other devices, and read the remotes: elder-node stack sync   (else stop the node and ' +
      `bring the missing log back into stacks/${held.key} from a backup)`,
  }]
}

/** The same of all stacks, as findings: with each record the message changes, and the problem does not begin anew. */
export function waitingFindings (stacks: readonly HeldStack[], nameOf: NameOf): Array<Problem & { about: string }> {
  return stacks.flatMap(held => recordsWait(held, nameOf).map(problem => ({ ...problem, about: held.key })))
}

/** What a mirror gave and its stack cannot show. `names`: its records. */
export function restoredWait (held: HeldStack, names: ReadonlySet<string>, nameOf: NameOf): Problem[] {
  const waiting = held.stack.waiting(names)
  if (waiting.length === 0) return []
  const { text, it } = counted(waiting, nameOf)
  return [{
    code: 'RECORDS_WAIT',
    message: `${text} of the stack ${held.name} ${it} read from the mirror and not shown: ` +
      'the mirror lacks what comes before.',
    fix: 'They are kept. Restore from another remote too, or start a device that holds the stack. ' +
      `Is it complete? elder-node stack verify ${held.folder}`,
  }]
}

function counted (waiting: readonly WaitingRecords[], nameOf: NameOf): { text: string, it: string } {
  const count = waiting.reduce((sum, { records }) => sum + records, 0)
  const of = waiting.map(({ device, records, more }) => `${nameOf(device)} (${records}${more ? ', and more came than there was room for' : ''})`).join(', ')
  const isMore = waiting.some(({ more }) => more)
  return { text: `${isMore ? 'At least ' : ''}${count === 1 && !isMore ? 'One record' : `${count} records`} of ${of}`, it: count === 1 && !isMore ? 'is' : 'are' }
}

/** Records of the feed that came back are not told of: nobody knows how many there were. */
function gone ({ name, stack }: HeldStack, nameOf: NameOf): Problem[] {
  return stack.damaged.filter(({ gone, feed }) => gone === true && stack.longest(feed, Infinity) === 0).map(({ file, feed }) => ({
    code: 'FEED_GONE', device: { id: feedDevice(feed), name: nameOf(feedDevice(feed)) },
    message: `A file of the stack ${name} is gone: ${file}. What ${nameOf(feedDevice(feed))} wrote there is not shown here.`, fix: goneFix(file), file,
  }))
}

export function goneFix (file: string): string {
  const list = file.replace(/[^/\\]+$/, 'feeds')
  return `Other devices and remotes send what they hold. Else stop the node and bring the file back from a backup; when it is lost for good: rm ${list}   (the list of what was there)`
}

function damaged ({ name, stack }: HeldStack): Problem[] {
  return stack.damaged.filter(({ gone }) => gone !== true).map(({ file, at, bytes, feed }) => ({
    code: 'FEED_DAMAGED', message: `A file of the stack ${name} did not read at byte ${at} (${bytes} bytes). It is kept as it was: ${file}`,
    fix: `Look after the disk. Other devices and remotes send what is missing; then that file is yours to delete. Is it complete? elder-node stack verify ${name}`, file, device: { id: feedDevice(feed), name: '' },
  }))
}

function forked ({ name }: HeldStack, told: readonly Fork[], nameOf: NameOf): Problem[] {
  const devices = Map.groupBy(told, ({ feed }) => feedDevice(feed))
  return [...devices].map(([id, forks]) => ({
    code: 'FEED_FORKED', device: { id, name: nameOf(id) },
    message: `${nameOf(id)} wrote two histories in the stack ${name} (record ${forks[0]?.seq} of ${forks[0]?.feed}): its disk went back in time, or its key is used twice. Both are kept and shown.`,
    fix: `If its disk was restored or copied, nothing is lost. If nobody did that, its key is known to somebody else: elder-node evict ${nameOf(id)}`,
  }))
}

function dropped ({ name, stack }: HeldStack, nameOf: NameOf): Problem[] {
  return stack.dropped().map(({ device, records }) => ({
    code: 'HISTORIES_DROPPED', device: { id: device, name: nameOf(device) },
    message: `${records === 1 ? 'One record' : `${records} records`} of ${nameOf(device)} in the stack ${name} are not kept: it has more than ${LIMITS.headsPerDeviceMax} histories that no other record names.`,
    fix: `If its disk was restored over and over, write a note on another device after each time: what a note names is kept. Else its key is used by others: elder-node evict ${nameOf(device)}`,
  }))
}

function unshown (held: HeldStack, nameOf: (device: DeviceId) => string): Problem[] {
  const records = Map.groupBy(held.faults().unshown, ({ state, why, device }) => `${state} ${why} ${device}`)
  return [...records.values()].flatMap(group => {
    const [first] = group
    if (first === undefined || first.why === EVICTED) return []
    const id = first.device ?? feedDevice(first.feed)
    const advice = first.state === 'void' ? VOID : hidden(held.name, group, nameOf)
    const count = group.length === 1 ? 'One record' : `${group.length} records`
    return [{
      code: first.state === 'void' ? 'RECORD_VOID' : 'RECORD_SKIPPED', device: { id, name: nameOf(id) },
      message: `${count} in the stack ${held.name} (the first is ${first.seq} of ${first.feed}) ${group.length === 1 ? 'is' : 'are'} kept and not shown: ${first.why}. At fault: ${nameOf(id)}.`,
      fix: `Look after ${nameOf(id)}: its version, its disk, its owner. ${advice}`,
    }]
  })
}

const VOID = 'What others built on it is kept and hidden with it, and told as RECORD_SKIPPED.'

/** Whose records are hidden, this device's own among them, and how to get at what they say. */
function hidden (stack: string, group: readonly UnshownRecord[], nameOf: (device: DeviceId) => string): string {
  const authors = [...Map.groupBy(group, ({ feed }) => feedDevice(feed))].sort(([, a], [, b]) => b.length - a.length)
  const named = authors.slice(0, NAMED_MAX).map(([device, { length }]) => `${length} of ${nameOf(device)}`)
  const rest = authors.slice(NAMED_MAX).reduce((sum, [, { length }]) => sum + length, 0)
  if (rest > 0) named.push(`${rest} of other devices`)
  const whose = `Hidden and kept: ${named.join(', ')}.`
  // The log and the earlier texts are those of an entry that is shown.
  if (group.some(({ why }) => why === NO_ENTRY)) {
    return `${whose} No command reads an entry that is not shown: write what is missed again, as a new one.`
  }
  return `${whose} elder-node stack log ${stack} --entry <id> lists them, and ` +
    `elder-node stack show ${stack} <id> --at <revision> reads each text as it was written: write that paragraph again.`
}

const NAMED_MAX = 5
const NO_ENTRY = 'its entry is not shown'
/** What an eviction hides is no fault: it was asked for. */
const EVICTED = 'its device was evicted'
