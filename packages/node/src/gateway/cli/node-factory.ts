/** What `join` needs of the composition: how a node is made. Types alone: the command line loads libp2p for no other command. */
import type { EngineChoice } from '../../ports/engine.ts'
import type { NodeInit } from '../../config.ts'
import type { RunningNode } from '../../api.ts'

export type { EngineChoice } from '../../ports/engine.ts'

/** What the flags of `join` say. */
export type JoinInit = Pick<NodeInit, 'ticket' | 'name' | 'listen' | 'announce' | 'relay' | 'slots' | 'mdns' | 'agent' | 'timeoutMs' | 'httpDefault' | 'log' | 'signal'> & { dir: string, engine?: EngineChoice }

export type JoinedNode = RunningNode

export const ENGINES: readonly EngineChoice[] = ['auto', 'docker', 'podman', 'sandbox', 'process', 'none']

export type NodeFactory = (init: JoinInit) => Promise<JoinedNode>
