/** What `join` needs of the composition: how a node is made, and how it says that it was evicted. */
import type { ElderError } from '@elder-node/protocol'
import type { ElderNode } from '../../api.ts'
import type { Logger } from '../../ports/log.ts'

export interface JoinInit {
  dir: string
  ticket?: string
  name?: string
  listen?: string[]
  announce?: string[]
  slots?: number
  engine?: EngineChoice
  mdns?: boolean
  agent?: string
  /** Bounds admission, not the running node. */
  timeoutMs?: number
  log?: Logger
  signal?: AbortSignal
}

export const ENGINES = ['auto', 'docker', 'podman', 'sandbox', 'process', 'none'] as const
export type EngineChoice = (typeof ENGINES)[number]

export interface JoinedNode extends ElderNode {
  /** How this node came to its mesh. */
  readonly joined: 'founded' | 'admitted' | 'returned'
  /** Given once, when the mesh was founded: the text that proves its founder after a total loss. */
  readonly recovery?: string
  /** Resolves when this device was told that it is no longer a member. */
  readonly evicted: Promise<ElderError>
}

export type NodeFactory = (init: JoinInit) => Promise<JoinedNode>
