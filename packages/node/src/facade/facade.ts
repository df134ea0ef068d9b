/** What a running node does for its owner: each verb of {@link ElderNode}, handed to the service that does it. */
import { stackKey, type Crypto, type DeviceId } from '@elder-node/protocol'
import type { RunningNode } from '../api.ts'
import type { Lifetime } from '../lifetime.ts'
import type { CallOptions, Tried } from '../ports/mesh.ts'
import type { Builds } from '../services/builds/index.ts'
import { diagnose, type DiagnosisComponents } from '../services/diagnosis.ts'
import { leave } from '../services/leaving.ts'
import { ping } from '../services/ping.ts'
import { memberVerbs } from './member-verbs.ts'
import { stackVerbs, type StackVerbsComponents } from './stack-verbs.ts'

export interface FacadeComponents extends StackVerbsComponents {
  lifetime: Lifetime
  mesh: DiagnosisComponents['mesh'] & { tryAddresses: (device: DeviceId, options: CallOptions) => Promise<Tried[]> }
  builds: Builds
  crypto: Crypto
  gitWorks: DiagnosisComponents['gitWorks']
}

export interface FacadeInit {
  joined: RunningNode['joined']
  exposed: RunningNode['exposed']
  recovery?: string
  http?: string
  /** In whose name this program writes and builds, when a call names no other. */
  agent?: string
}

export function facade (parts: FacadeComponents, { agent, ...init }: FacadeInit): RunningNode {
  const { lifetime, membership, mesh, builds, stackList, replication, mirror, status } = parts
  const ref = membership.ref.bind(membership)
  const author = agent === undefined ? {} : { agent }
  return {
    ...init,
    device: ref(membership.self),
    mesh: { id: membership.meshId, name: membership.meshName },
    evicted: membership.evicted,
    left: lifetime.left,
    addresses: () => mesh.addresses(),
    status: async () => status.status(),
    devices: async () => status.devices(),
    diagnosis: () => diagnose({ mesh, ref, gitWorks: parts.gitWorks }),
    ping: (name, options) => ping({
      mesh, ref, find: text => membership.find(text).device,
      lastSeen: of => status.lastSeen(of), tryAddresses: (of, call) => mesh.tryAddresses(of, call),
    }, name, options),
    ...memberVerbs(membership, {
      lastSeen: of => status.lastSeen(of), remotesOf: of => parts.remotes.of(of),
      stackName: stack => parts.stacks.held(stackKey(stack))?.name ?? stack,
    }),
    build: (request, options) => builds.build({ ...author, ...request }, options),
    builds: {
      list: async () => builds.list(),
      events: (id, options) => builds.events(id, options),
      cancel: id => builds.cancel(id),
      why: id => builds.why(id),
    },
    stacks: stackVerbs(parts, author),
    leave: async options => lifetime.leave(await leave({ mesh, membership, stacks: () => stackList('kept'), exchange: of => replication.exchange(of), push: stack => mirror.sync(stack) }, options)),
    stop: options => lifetime.stop(options),
  }
}
