/** What a remote holds of one stack, read from the remote and verified as a restore would: nothing remembered counts. */
import { recordHash, toHex } from '@elder-node/protocol'
import type { Commit, GitOptions } from '../git/port.ts'
import { restoreMirror, type Quarantined, type RestoreComponents } from './restore.ts'
import type { MirroredStack } from './types.ts'

/** `lacks`: records of this device that are not there. `bad`: files of this stack that do not verify, or lead nowhere. */
export interface Inspection { commit: Commit, lacks: number, bad: Quarantined[] }

/** @throws as {@link restoreMirror} */
export async function inspectMirror (stack: Pick<MirroredStack, 'key' | 'windows' | 'path'>, components: RestoreComponents, options: GitOptions): Promise<Inspection> {
  const { commit, stacks, quarantined } = await restoreMirror(components, { ...options, only: stack.key })
  const there = stacks[0]?.names ?? new Set<string>()
  const lacking = new Set<string>()
  for (const want of stack.windows()) {
    // A record that is there leads back to the beginning of its feed.
    if (there.has(toHex(want.hash))) continue
    const names = [...stack.path(want)].flatMap(({ records }) => records.map(bytes => toHex(recordHash(bytes, components.crypto))))
    for (const name of names) if (!there.has(name)) lacking.add(name)
  }
  return { commit, lacks: lacking.size, bad: quarantined.filter(({ path }) => path.startsWith(`stacks/${stack.key}/`)) }
}
