/** Who a build is, inside its container and outside of it. Pure. */
import { ElderError } from '@elder-node/protocol'
import type { ContainerEngineName } from './sockets.ts'

export interface DaemonFacts {
  name: ContainerEngineName
  /** Runs as an ordinary user, in a user namespace. */
  rootless: boolean
  /** Maps the users of containers to others (`userns-remap`). */
  remapped: boolean
}

export interface NodeUser { uid: number, gid: number }

export interface Identity {
  /** `uid:gid` in the container. */
  user: string
  /** True when the tree is given to a user of its own, one per slot: only root can. */
  separate: boolean
  /** Podman: the user of the node is the same user in the container. */
  keepId: boolean
}

/**
 * | node | daemon | in the container | owner of the tree |
 * |---|---|---|---|
 * | root | system | the slot's own user | the same |
 * | ordinary user | system | the node's user | the node's user |
 * | ordinary user | rootless Podman | the node's user (keep-id) | the node's user |
 * | ordinary user | rootless Docker | root of a namespace in which root is the node's user | the node's user |
 *
 * @param slotUid - The slot's user; undefined when the node is not root.
 * @throws ElderError `ENGINE_UNAVAILABLE` where no user of a container could own a folder of this node.
 */
export function identityOf (node: NodeUser, { name, rootless, remapped }: DaemonFacts, slotUid: number | undefined): Identity {
  if (remapped) throw new ElderError('ENGINE_UNAVAILABLE', 'this Docker daemon maps users (userns-remap): no build could own its tree', 'Run the daemon without userns-remap, or use rootless Docker or Podman.')
  if (slotUid !== undefined) {
    if (rootless) throw new ElderError('ENGINE_UNAVAILABLE', `this node runs as root, and its ${name} daemon as an ordinary user`, 'Run the node as that user, or use the system\'s daemon.')
    return { user: `${slotUid}:${slotUid}`, separate: true, keepId: false }
  }
  if (rootless && name === 'docker') return { user: '0:0', separate: false, keepId: false }
  return { user: `${node.uid}:${node.gid}`, separate: false, keepId: rootless }
}
