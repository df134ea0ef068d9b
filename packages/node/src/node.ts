/**
 * The one place that wires: builds every part of a node in order, starts them, and stops them in reverse.
 *
 * Read it top to bottom; every line that says `new` or `open` names its room. Nothing here decides anything.
 */
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { ElderError, type MeshId } from '@elder-node/protocol'
import { FsFeedStore } from '@elder-node/crdt-stack/fs'
import { systemClock } from './adapters/clock.ts'
import { nodeCrypto, randomBytes, signerFromSeed } from './adapters/crypto.ts'
import { dataDirAt, dataDirPath, prepareDataDir } from './adapters/data-dir.ts'
import { openEngine } from './adapters/engines.ts'
import { openLoopMonitor } from './adapters/event-loop.ts'
import { privateFiles } from './adapters/files.ts'
import { forgetMesh } from './adapters/forget-mesh.ts'
import { GitCache } from './adapters/git-cache.ts'
import { createGitCaches } from './adapters/git-caches.ts'
import { GitSource } from './adapters/git-source.ts'
import { openIdentity } from './adapters/identity.ts'
import { createMesh } from './adapters/libp2p/mesh.ts'
import { defaultPorts, keepPorts, listenAddresses } from './adapters/listen-ports.ts'
import { takeLock } from './adapters/lock.ts'
import { beginLife, endLife, writeConfig } from './adapters/node-config.ts'
import { FileOutputReader } from './adapters/output-reader.ts'
import { FileOutputWriter } from './adapters/output-writer.ts'
import { PrepareCache } from './adapters/prepare-cache.ts'
import { openSensors } from './adapters/sensors.ts'
import type { Departure, ElderNode } from './api.ts'
import { Closing } from './closing.ts'
import { deviceNameOf, engineInit, mirrorDelays, type NodeInit } from './config.ts'
import { withOwnersSettings } from './device-config/load.ts'
import { openHttp } from './gateway/http/open.ts'
import { Alerts } from './services/alerts.ts'
import { BuildHost, BuildLink, Builds } from './services/builds/index.ts'
import { diagnose } from './services/diagnosis.ts'
import { leave } from './services/leaving.ts'
import { openMembership } from './services/membership/open-membership.ts'
import { archiveWriters, readForeignRoster } from './services/membership/writers.ts'
import { MirrorService } from './services/mirror.ts'
import { folderOf, mirrorSource } from './services/mirror-source.ts'
import { ping } from './services/ping.ts'
import { Replication } from './services/replication.ts'
import { ResourceService } from './services/resources.ts'
import { importMirror } from './services/restore.ts'
import { Settings } from './services/settings.ts'
import { proveStack } from './services/stack-proof.ts'
import { searchStacks } from './services/stack-search.ts'
import { Stacks } from './services/stacks.ts'
import { StatusService } from './services/status.ts'
import { Telemetry } from './services/telemetry.ts'
import { uniform } from './services/uniform.ts'

/** The version of this package, as `status` and the adverts say it. */
export const VERSION = '0.1.0'

/** A node that runs. Besides what {@link ElderNode} does: how it came to its mesh. */
export interface RunningNode extends ElderNode {
  /** `founded` a new mesh, `admitted` with a ticket, `returned` as the member it was. */
  readonly joined: 'founded' | 'admitted' | 'returned'
  /** Given once, when the mesh was founded: keep it off every device. It proves the founder after a total loss. */
  readonly recovery?: string
  /** Resolves with `EVICTED` when this device learns that it is no member any more; then stop it. */
  readonly evicted: Promise<ElderError>
  /** Resolves once this device has left the mesh, stopped, and kept nothing of it. */
  readonly left: Promise<Departure>
  /** Where /healthz, /readyz and /metrics are answered, if anywhere. */
  readonly http?: string
  /** `unclean`: the next start counts this life as a crash. */
  stop (options?: { unclean?: boolean }): Promise<void>
}

const SILENT = { debug () {}, info () {}, warn () {}, error () {} }
const JOIN_MS = 60_000
const RESTORE_MS = 600_000
/** What one build may write: more than any of ours, less than what fills a small disk. */
const DISK_BYTES = 21_474_836_480

/**
 * Starts a node: founds a mesh, joins one with a ticket, or comes back to the one of its directory.
 *
 * @throws ElderError `LOCKED`, `KEY_READABLE`, `PORT_IN_USE`, `TICKET_*`, `WRONG_MESH`, `EVICTED`, `ADMISSION_TIMEOUT`, `ENGINE_UNAVAILABLE`, `SETTING_VALUE`,
 * each with its fix; nothing keeps running then
 */
export async function createNode (given: NodeInit = {}): Promise<RunningNode> {
  const init = withOwnersSettings(given)
  const closing = new Closing(init.log ?? SILENT)
  try {
    return await build(init, closing)
  } catch (error) {
    await closing.run()
    throw error
  }
}

async function build (init: NodeInit, closing: Closing): Promise<RunningNode> {
  const log = init.log ?? SILENT
  const clock = systemClock
  const crypto = nodeCrypto()
  const random = (): number => uniform(randomBytes)
  const agent = init.agent === undefined ? {} : { agent: init.agent }

  // The data directory: one node at a time, one key for ever, and every life above the one before.
  const dir = dataDirAt(dataDirPath(init.dir))
  prepareDataDir(dir)
  const lock = takeLock(dir.lock)
  closing.add('lock', () => { lock.release() })
  const left = Promise.withResolvers<Departure>()
  let hasLeft = false
  closing.add('data', () => { if (hasLeft) forgetMesh(dir) })
  const { device, signer, seed } = openIdentity(dir.key, randomBytes)
  const config = beginLife(dir.config, clock.wallMs())
  const { epoch } = config
  let unclean = false
  closing.add('life', () => { if (!unclean) endLife(dir.config) })

  // What is counted from here on, and who on this machine may read it.
  const telemetry = new Telemetry({ clock }, { restarts: config.lives - 1, crashes: config.crashes })
  const { metrics } = telemetry
  const http = await openHttp(telemetry, { listen: init.http ?? init.httpDefault ?? 'off', kept: config.ports['http'] })
  closing.add('http', () => http.server?.close())

  // Who belongs here, and the door.
  const { membership, state, recoverySecret } = openMembership(
    { crypto, signer, signerFromSeed, clock, random: randomBytes, files: privateFiles(dir.mesh) },
    { deviceName: deviceNameOf(init), ...(init.ticket === undefined ? {} : { ticket: init.ticket }), ...(init.meshName === undefined ? {} : { meshName: init.meshName }) }
  )
  const { asked, ports } = init.listen === undefined ? await defaultPorts(config.ports) : { asked: init.listen, ports: config.ports }
  const mesh = createMesh({ seed, admission: membership, clock, log, metrics }, {
    listen: listenAddresses(asked, ports), announce: init.announce ?? [], mdns: init.mdns ?? true, relay: init.relay ?? 'auto',
  })
  membership.attach(mesh)

  // What this device offers.
  const { engine, note: engineNote, environment, close: closeEngine } = await openEngine(init.engine ?? 'auto', engineInit(dir.root, init))
  closing.add('engine', closeEngine)
  const sensors = init.sensors ?? openSensors({ dir: dir.root })
  const resources = new ResourceService(
    { mesh, sensors, clock, images: engine?.images?.bind(engine), directory: mesh.directory, role: of => membership.role(of), random, log },
    { epoch, version: VERSION, engine: engine?.name ?? null, ...(init.slots === undefined ? {} : { slots: init.slots }) }
  )

  // Builds: the builder's side, then the requester's, and the way between them and other devices.
  const link = new BuildLink({ mesh })
  const host = new BuildHost({
    engine, role: of => membership.role(of), clock, crypto, signer, log,
    cache: new GitCache({ dir: join(dir.builds, 'sources') }),
    outputs: new FileOutputReader(),
    prepare: new PrepareCache({ dir: join(dir.builds, 'prepared') }),
    environment, network: init.buildNetwork ?? 'full',
    limits: { cpus: cpus().length, memoryBytes: Math.floor(totalmem() * 0.8), pidsMax: 4096, diskBytes: DISK_BYTES, ...init.limits },
    platform: `${process.platform}/${process.arch}`,
    ask: (to, word) => link.ask(to, word),
    offer: capacity => { resources.offer(capacity) },
  }, { epoch })
  const builds = new Builds({
    mesh, link, resources, crypto, clock, randomBytes, log, metrics,
    reader: new GitSource({ dir: join(dir.builds, 'snapshots') }), writer: new FileOutputWriter(), files: privateFiles(dir.builds),
    resolve: name => membership.find(name).device, ref: of => ({ id: of, name: membership.nameOf(of) }),
  }, init.explore === undefined ? {} : { explore: init.explore })
  link.serve({ resources, host, builds })

  // Stacks, their replication and their mirrors.
  const stacks = await Stacks.open({
    crypto, signer, clock, random: randomBytes, files: privateFiles(dir.stacks),
    openStore: key => FsFeedStore.open(join(dir.stacks, key)),
    mayWrite: of => membership.mayWrite(of),
    verifyArchive: (records, origin) => archiveWriters(records, origin, crypto),
  })
  closing.add('stacks', () => stacks.close())
  const settings = new Settings({ stacks, crypto })
  const replication = new Replication({ mesh, stacks, crypto, clock, random: randomBytes, log })
  membership.onRemoved(gone => { replication.forget(gone) })
  const mirror = new MirrorService({
    source: mirrorSource({ stacks, settings }), openGit: createGitCaches(dir.mirrors, log), self: device, mesh: membership.meshId, crypto, clock, random, log,
    livePeers: () => mesh.peers().map(peer => peer.device), files: privateFiles(dir.mirrors),
    membership: { records: () => membership.records(), receive: records => { membership.receive(records) }, verify: (records, origin) => readForeignRoster(records, origin as MeshId, crypto) },
  }, mirrorDelays(init))

  const stackList = (): ReturnType<Stacks['list']> => stacks.list({ copies: held => replication.copies(held), mirrors: held => mirror.status(folderOf(held)) })
  const alerts = new Alerts({
    clock, loop: openLoopMonitor(), self: device, devices: () => status.devices(), addresses: () => mesh.addresses(), waiting: () => builds.waiting(), stacks: stackList,
    found: () => [...mirror.problems(), ...stacks.problems(), ...http.problems], log,
  }, { version: VERSION, crashesMs: config.crashesMs })
  closing.add('alerts', () => { alerts.stop() })
  const status = new StatusService(
    { membership, mesh, resources, clock, builds: () => builds.list(), stacks: stackList, problems: () => alerts.problems() },
    { dir: dir.root, version: VERSION, engineNote, http: http.server?.url ?? null }
  )

  // Everything is there: start; what has begun to start is stopped, in reverse.
  init.signal?.throwIfAborted()
  closing.add('mesh', () => mesh.stop())
  await mesh.start()
  writeConfig(dir.config, { ...config, ports: { ...keepPorts(asked, mesh.addresses(), ports), ...http.keep } })
  closing.add('membership', () => { membership.stop() })
  membership.start()
  const admission = state === 'joining' ? [AbortSignal.timeout(init.timeoutMs ?? JOIN_MS)] : []
  await membership.joined({ signal: AbortSignal.any([...admission, ...(init.signal === undefined ? [] : [init.signal])]) })
  resources.onSlots(slots => { host.configure(slots) })
  await resources.measure()
  closing.add('builder', () => host.stop())
  await host.start(resources.slots)
  closing.add('resources', () => resources.stop())
  await resources.start()
  closing.add('builds', () => builds.stop())
  closing.add('replication', () => { replication.stop() })
  replication.start()
  closing.add('mirror', () => mirror.stop())
  mirror.start()
  alerts.start()
  telemetry.ready({
    status: () => status.status(), brokenStacks: () => stacks.broken.map(({ name }) => name), queues: () => resources.queues(), cpuPressure: () => resources.sample?.pressure ?? null, loopLagS: () => alerts.loopLagS,
  })
  log.info({ device, mesh: membership.meshId, state, engine: engineNote }, 'ready')

  return {
    device: { id: device, name: membership.nameOf(device) },
    mesh: { id: membership.meshId, name: membership.meshName },
    joined: state === 'joining' ? 'admitted' : state === 'founded' ? 'founded' : 'returned',
    ...(recoverySecret === null ? {} : { recovery: recoverySecret }),
    evicted: membership.evicted,
    addresses: () => mesh.addresses(),
    status: async () => status.status(),
    devices: async () => status.devices(),
    invite: async ({ role = 'builder', expiresMs } = {}) => {
      const { ticket, expiresMs: until } = membership.invite({ role, ...(expiresMs === undefined ? {} : { expiresMs }) })
      return { ticket, role, expires: new Date(until).toISOString(), command: 'npx elder-node join --ticket-file -' }
    },
    evict: async (name, options = {}) => {
      if (options.undo === true) throw new ElderError('NOT_IN_THIS_VERSION', 'undoing what an evicted device wrote is not in this version', 'Evict it without --undo.')
      const { device: id, name: label } = membership.evict(name)
      return { id, name: label }
    },
    diagnosis: async () => diagnose({ mesh, ref: of => ({ id: of, name: membership.nameOf(of) }) }),
    promote: async name => {
      const { device: id, name: label } = membership.promote(name)
      return { id, name: label }
    },
    ping: (name, options) => ping({
      mesh, find: text => membership.find(text).device, ref: of => ({ id: of, name: membership.nameOf(of) }),
      lastSeen: of => status.devices().find(({ id }) => id === of)?.lastSeen ?? null, tryAddresses: (of, call) => mesh.tryAddresses(of, call),
    }, name, options),
    left: left.promise,
    leave: async options => {
      const departure = await leave({ mesh, membership, stacks: stackList, exchange: of => replication.exchange(of), push: stack => mirror.sync(stack) }, options)
      hasLeft = true
      await closing.run()
      left.resolve(departure)
      return departure
    },
    build: (request, options) => builds.build({ ...agent, ...request }, options),
    builds: {
      list: async () => builds.list(),
      events: (id, options) => builds.events(id, options),
      cancel: id => builds.cancel(id),
      why: id => builds.why(id),
    },
    stacks: {
      list: async () => stackList(),
      open: async name => stacks.open(name, agent),
      addRemote: async (stack, url) => {
        const remote = await settings.addRemote(stack, url, init.agent)
        return { ...remote, ...mirror.remoteStatus(stack, url) }
      },
      remotes: async () => settings.remotes().map(remote => ({ ...remote, ...mirror.remoteStatus(remote.stack, remote.url) })),
      removeRemote: (stack, url) => settings.removeRemote(stack, url, init.agent),
      search: async (query, filter) => searchStacks(stacks, query, filter),
      verify: (stack, { signal = new AbortController().signal } = {}) => proveStack({
        stacks, replication, mesh, crypto, members: () => status.devices(), nameOf: of => membership.nameOf(of),
        remotes: (held, options) => mirror.inspect(folderOf(held), options),
      }, stack, { signal }),
      sync: stack => mirror.sync(stack),
      restore: async url => {
        const restored = await importMirror(await mirror.restore(url, { signal: AbortSignal.timeout(RESTORE_MS) }), { stacks, mesh: membership.meshId })
        replication.announce()
        return restored
      },
    },
    ...(http.server === undefined ? {} : { http: http.server.url }),
    stop: async (options = {}) => {
      unclean = options.unclean === true
      await closing.run()
    },
  }
}
