/**
 * The one place that wires: builds every part of a node in order, starts them, and stops them in reverse.
 *
 * Read it top to bottom; every line that says `new` or `open` names its room. Nothing here decides anything.
 */
import { join } from 'node:path'
import type { MeshId } from '@elder-node/protocol'
import { FsFeedStore, Handles } from '@elder-node/crdt-stack/fs'
import { checkRemote, nativeGitWorks } from '@elder-node/crdt-stack/git'
import { systemClock } from './adapters/clock.ts'
import { nodeCrypto, randomBytes, signerFromSeed } from './adapters/crypto.ts'
import { dataDirAt, dataDirPath, prepareDataDir, traceOfMesh } from './adapters/data-dir.ts'
import { descriptorBudget } from './adapters/descriptors.ts'
import { builderLacks, lackProblem, MISSING_HERE, NO_SLOTS } from './adapters/builder-lacks.ts'
import { openEngine } from './adapters/engines.ts'
import { openLoopMonitor } from './adapters/event-loop.ts'
import { forgetMesh, undoFounding } from './adapters/forget-mesh.ts'
import { GitCache } from './adapters/git-cache.ts'
import { createGitCaches } from './adapters/git-caches.ts'
import { GitSource } from './adapters/git-source.ts'
import { openIdentity } from './adapters/identity.ts'
import { createMesh } from './adapters/libp2p/mesh.ts'
import { choosePorts, keepPorts } from './adapters/listen-ports.ts'
import { refuseSecond } from './adapters/live-socket.ts'
import { takeLock } from './adapters/lock.ts'
import { beginLife, endLife, readConfig, writeConfig } from './adapters/node-config.ts'
import { FileOutputReader } from './adapters/output-reader.ts'
import { FileOutputWriter } from './adapters/output-writer.ts'
import { PrepareCache } from './adapters/prepare-cache.ts'
import { removeFolder } from './adapters/files.ts'
import { privateFiles } from './adapters/private-files.ts'
import { openSensors } from './adapters/sensors.ts'
import type { RunningNode } from './api.ts'
import type { NodeInit } from './config.ts'
import { withOwnersSettings } from './device-config/load.ts'
import { facade } from './facade/facade.ts'
import { openHttp } from './gateway/http/open.ts'
import { buildLimits, electorInit, engineInit, given, membershipInit, meshInit, mirrorDelays, slotsInit, trustInit } from './inits.ts'
import { Lifetime } from './lifetime.ts'
import type { PrivateFiles } from './ports/files.ts'
import { Alerts } from './services/alerts.ts'
import { BuildHost, BuildLink, Builds } from './services/builds/index.ts'
import { leftoverProblems } from './services/builds/leftovers.ts'
import { demandTrust, distrust } from './services/builds/process-admin.ts'
import { openMembership } from './services/membership/open-membership.ts'
import { archiveRules, readForeignRoster } from './services/membership/writers.ts'
import { MirrorService } from './services/mirror.ts'
import { mirrorSource } from './services/mirror-source.ts'
import { moved } from './services/moved-port.ts'
import { Remotes } from './services/remotes.ts'
import { Replication } from './services/replication.ts'
import { ResourceService } from './services/resources.ts'
import { Settings } from './services/settings.ts'
import { Stacks, type Which } from './services/stacks.ts'
import { NAME_FILE } from './services/stacks/shelf.ts'
import { Sweeper } from './services/stacks/sweeper.ts'
import { faultProblems, waitingFindings } from './services/stacks/faults.ts'
import { ForksMet } from './services/stacks/forks-met.ts'
import { StatusService } from './services/status.ts'
import { Telemetry } from './services/telemetry.ts'
import { uniform } from './services/uniform.ts'
import { VERSION } from './version.ts'

const SILENT = { debug () {}, info () {}, warn () {}, error () {} }
const JOIN_MS = 60_000
const JOINED = { founded: 'founded', joining: 'admitted', member: 'returned' } as const

/**
 * Starts a node: founds a mesh, joins one with a ticket, or comes back to the one of its directory.
 *
 * @throws ElderError `LOCKED`, `KEY_READABLE`, `PORT_IN_USE`, `TICKET_*`, `WRONG_MESH`, `EVICTED`, `ADMISSION_TIMEOUT`, `ENGINE_UNAVAILABLE`, `SETTING_VALUE`,
 * each with its fix; nothing keeps running then
 */
export async function createNode (asked: NodeInit = {}): Promise<RunningNode> {
  const init = withOwnersSettings(asked)
  const lifetime = new Lifetime(init.log ?? SILENT)
  try {
    return await build(init, lifetime)
  } catch (error) {
    await lifetime.stop()
    throw error
  }
}

async function build (init: NodeInit, lifetime: Lifetime): Promise<RunningNode> {
  const log = init.log ?? SILENT
  const clock = systemClock
  const crypto = nodeCrypto()
  const random = (): number => uniform(randomBytes)
  const descriptors = descriptorBudget()

  // The data directory: one node at a time, one key for ever, and every life above the one before.
  const dir = dataDirAt(dataDirPath(init.dir))
  prepareDataDir(dir)
  const lock = takeLock(dir.lock)
  lifetime.onStop('lock', () => { lock.release() })
  await refuseSecond(dir.socket)
  lifetime.onStop('data', () => { if (lifetime.hasLeft) forgetMesh(dir); else if (lifetime.isFounding) undoFounding(dir) })
  const trace = traceOfMesh(dir)
  const { device, signer, seed } = openIdentity(dir.key, randomBytes, { belongs: trace })

  // Who belongs here, and the door: nothing is written before this was read.
  const files = (path: string): PrivateFiles => privateFiles(path, { log })
  const { membership, state, recoverySecret } = openMembership(
    { crypto, signer, signerFromSeed, clock, random: randomBytes, files: files(dir.mesh) },
    { ...membershipInit(init), ...given({ trace }) },
  )
  if (state === 'founded') lifetime.founding()
  const last = readConfig(dir.config, error => { log.warn({ path: dir.config, error }, 'config.json did not read and is made anew') })
  const config = beginLife(dir.config, clock.wallMs(), last)
  const { epoch } = config
  lifetime.onStop('life', () => { if (!lifetime.isUnclean) endLife(dir.config) })

  // What is counted from here on, and who on this machine may read it.
  const telemetry = new Telemetry({ clock }, { restarts: config.lives - 1, crashes: config.crashes })
  const { metrics } = telemetry
  const http = await openHttp(telemetry, { listen: init.http ?? init.httpDefault ?? 'off', kept: config.ports['http'] }, random)
  lifetime.onStop('http', () => http.server?.close())

  const chosen = await choosePorts(init.listen, config.ports, random)
  const mesh = createMesh({ seed, admission: membership, clock, log, metrics }, { listen: chosen.listen, ...meshInit(init) })
  membership.attach(mesh)

  // What this device offers.
  const { engine, note: engineNote, asNode, environment, close: closeEngine } = await openEngine(init.engine ?? 'auto', engineInit(dir, init))
  lifetime.onStop('engine', closeEngine)
  const trust = trustInit(asNode, init)
  demandTrust(trust, membership.expectedRole)
  const resources = new ResourceService({
    mesh, clock, random, log,
    sensors: init.sensors ?? openSensors({ dir: dir.root }),
    images: engine?.images?.bind(engine), lacks: engine === undefined ? undefined : async () => distrust(trust, membership.role(device)) ?? await builderLacks(engine), isBare: () => engine?.bare === true,
    directory: mesh.directory,
    role: of => membership.role(of),
  }, { epoch, version: VERSION, engine: engine?.name ?? null, ...slotsInit(init) })

  // Builds: the builder's side, then the requester's, and the way between them and other devices.
  const link = new BuildLink({ mesh })
  const host = new BuildHost({
    engine, environment, clock, crypto, signer, log,
    role: of => membership.role(of),
    cache: new GitCache({ dir: join(dir.builds, 'sources') }),
    prepare: new PrepareCache({ dir: join(dir.builds, 'prepared'), log }),
    outputs: new FileOutputReader(),
    network: init.buildNetwork ?? 'full',
    limits: buildLimits(init),
    platform: `${process.platform}/${process.arch}`,
    ask: (to, word) => link.ask(to, word),
    rttMs: to => to === mesh.self ? 0 : mesh.peers().find(peer => peer.device === to)?.rttMs,
    offer: capacity => { resources.offer(capacity) },
    couldNotRun: code => { if (MISSING_HERE.has(code)) void resources.lookAgain() },
  }, { epoch })
  const writer = new FileOutputWriter({ dir: join(dir.builds, 'outputs') })
  void writer.sweep()
  const builds = new Builds({
    mesh, link, resources, crypto, clock, randomBytes, log, metrics,
    lagMs: () => 1000 * alerts.loopLagS,
    reader: new GitSource({ dir: join(dir.builds, 'snapshots') }),
    writer,
    files: files(dir.builds),
    resolve: name => membership.find(name).device,
    ref: of => membership.ref(of),
  }, electorInit(init))
  link.serve({ resources, host, builds })

  // Stacks, their replication and their mirrors.
  const handles = new Handles({ max: descriptors.files })
  const stacks = await Stacks.open({
    crypto, signer, clock, random: randomBytes,
    files: files(dir.stacks),
    openStore: key => FsFeedStore.open(join(dir.stacks, key), { handles }),
    dropStore: key => removeFolder(join(dir.stacks, key), NAME_FILE),
    mayWrite: of => membership.mayWrite(of),
    cuts: stack => membership.cutsOf(stack),
    verifyArchive: (records, origin) => archiveRules(records, origin, crypto),
    log,
  })
  lifetime.onStop('stacks', () => stacks.close())
  membership.serveHeads(mesh, { headsOf: of => stacks.headsOf(of), headsBeyond: of => stacks.headsBeyond(of) })
  const remotes = new Remotes({
    clock, settings: new Settings({ stacks, crypto }), files: files(dir.mesh), self: device,
    isEvicted: of => membership.isEvicted(of), nameOf: of => membership.nameOf(of), look: checkRemote,
  })
  const replication = new Replication({ mesh, stacks, crypto, clock, random: randomBytes, log })
  membership.onRemoved(gone => { for (const part of [replication, resources, host]) part.forget(gone) })
  membership.onRoster(() => {
    if (asNode) void resources.lookAgain()
    stacks.applyCuts().catch((error: unknown) => { log.error({ err: error }, 'an eviction could not be applied to a stack') })
    remotes.rosterChanged()
  })
  const sweeper = new Sweeper({ stacks, clock, log, files: files(dir.stacks) })
  const mirror = new MirrorService({
    crypto, clock, random, log,
    self: device,
    mesh: membership.meshId,
    source: mirrorSource({ stacks, remotes }),
    openGit: createGitCaches(dir.mirrors, log),
    files: files(dir.mirrors),
    livePeers: () => mesh.peers().map(peer => peer.device),
    membership: {
      records: () => membership.records(),
      receive: records => { membership.receive(records) },
      mayFound: (of, stack) => membership.mayFound(of, stack),
      verify: (records, origin) => readForeignRoster(records, origin as MeshId, crypto),
    },
  }, mirrorDelays(init))

  // What is told of all this.
  const stackList = (which?: Which): ReturnType<Stacks['list']> => stacks.list({ which, copies: held => replication.copies(held), mirrors: held => mirror.status(held.folder) })
  const movedPorts = [...chosen.moved.map(port => moved('this device', port)), ...http.problems]
  for (const { code, message } of movedPorts) log.warn({ code }, message)
  const forksMet = new ForksMet({ files: files(dir.stacks), clock })
  const alerts = new Alerts({
    clock, log,
    loop: openLoopMonitor(),
    self: device,
    devices: () => status.devices(),
    addresses: () => mesh.addresses(),
    waiting: () => builds.waiting(),
    stacks: () => stackList('kept'),
    found: () => [
      ...membership.problems(), ...mirror.problems(), ...remotes.problems(), ...stacks.problems(),
      ...faultProblems(stacks.all(), of => membership.nameOf(of), held => forksMet.news(held)),
      ...waitingFindings(stacks.all(), of => membership.nameOf(of)), ...movedPorts, ...leftoverProblems(engine?.leftovers?.() ?? []),
      ...stacks.refusals(of => membership.role(of) !== undefined, of => membership.nameOf(of)),
      ...(resources.lacks === undefined ? [] : [lackProblem(resources.lacks)]),
    ],
  }, { version: VERSION, crashesMs: config.crashesMs })
  lifetime.onStop('alerts', () => { alerts.stop() })
  const status = new StatusService(
    { membership, mesh, resources, clock, builds: () => builds.list(), stacks: () => stackList(), problems: () => alerts.problems() },
    { dir: dir.root, version: VERSION, engineNote: () => resources.lacks === undefined ? engineNote() : `${engineNote()}${NO_SLOTS}${resources.lacks}`, http: http.server?.url ?? null },
  )

  // Everything is there: start; what has begun to start is stopped, in reverse.
  init.signal?.throwIfAborted()
  lifetime.onStop('mesh', () => mesh.stop())
  await mesh.start()
  writeConfig(dir.config, { ...config, ports: { ...keepPorts(chosen, init.listen, mesh.addresses()), ...http.keep } })
  lifetime.onStop('membership', () => { membership.stop() })
  membership.start()
  const admission = state === 'joining' ? [AbortSignal.timeout(init.timeoutMs ?? JOIN_MS)] : []
  await membership.joined({ signal: AbortSignal.any([...admission, ...(init.signal === undefined ? [] : [init.signal])]) })
  resources.onSlots(slots => { host.configure(slots) })
  await resources.measure()
  lifetime.onStop('builder', () => host.stop())
  await host.start(resources.slots)
  lifetime.onStop('resources', () => resources.stop())
  await resources.start()
  lifetime.onStop('builds', () => builds.stop())
  lifetime.onStop('replication', () => { replication.stop() })
  replication.start()
  lifetime.onStop('sweeper', () => { sweeper.stop() })
  sweeper.start()
  lifetime.onStop('mirror', () => mirror.stop())
  mirror.start()
  alerts.start()
  telemetry.ready({
    status: () => status.status(),
    brokenStacks: () => stacks.broken.map(({ name }) => name),
    queues: () => resources.queues(),
    cpuPressure: () => resources.sample?.pressure ?? null,
    loopLagS: () => alerts.loopLagS,
  })
  log.info({ device, mesh: membership.meshId, state, engine: engineNote() }, 'ready')
  lifetime.started()

  return facade(
    { lifetime, membership, mesh, builds, stacks, stackList, replication, remotes, mirror, status, crypto, gitWorks: nativeGitWorks },
    { joined: JOINED[state], exposed: () => asNode && host.leases().length > 0, ...given({ recovery: recoverySecret ?? undefined, http: http.server?.url, agent: init.agent }) },
  )
}
