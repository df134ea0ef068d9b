/** `join`: runs this node in the foreground. The only command that loads the network. */
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { codeOf, ElderError, toDeviceName } from '@elder-node/protocol'
import type { Command } from 'commander'
import { dataDirAt } from '../../../adapters/data-dir.ts'
import { readSettingsFile, writeSettingsFile } from '../../../adapters/settings-file.ts'
import { addresses as ADDRESSES } from '../../../device-config/types.ts'
import { serveControl } from '../../control-server.ts'
import { NO_DEFAULT_IMAGE } from '../../../ports/engine.ts'
import { parseCount } from '../../../quantities.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'
import { detach, givenWords, tellParent } from '../detach.ts'
import type { Ready } from '../detach.ts'
import { EXIT } from '../failure.ts'
import { guardFaults } from '../fault-guard.ts'
import { announce, sayLeft, sayOldName, stopped } from '../join-words.ts'
import { settingsOfFlags, withPlainName } from '../join-flags.ts'
import type { JoinFlags } from '../join-flags.ts'
import { addLaterOptions } from '../later.ts'
import { ENGINES } from '../node-factory.ts'
import type { EngineChoice, JoinInit, JoinedNode } from '../node-factory.ts'
import { openNodeLog } from '../node-log.ts'
import { reserveRecoveryFile, type RecoveryFile } from '../recovery-file.ts'
import { doorsOf, readTicket } from '../ticket.ts'

interface Options extends JoinFlags { ticketFile?: string, saveRecovery?: string, detach?: true }

const ADMISSION_MS = 60_000
/** What `leave` gets to hear the end of its own call. */
const FAREWELL_MS = 2_000
const collect = (value: string, all: string[] = []): string[] => [...all, value]

export function register (command: Command, { act }: Kit): void {
  command
    .usage('[options] [ticket]').argument('[ticket...]', 'from `elder-node invite` on another device; without one a new mesh is founded')
    .option('--ticket-file <path|->', 'read the ticket from a file or from standard input')
    .option('--save-recovery <path>', 'where the recovery text of a new mesh is written')
    .option('--name <name>', 'of this device (default: the host name)')
    .option('--listen <multiaddr>', 'repeatable; port 0 picks a free port at the first start and keeps it', collect)
    .option('--announce <multiaddr>', 'told to other devices besides the addresses of the interfaces (repeatable)', collect)
    .option('--relay <auto|on|off>', 'pass connections on between members that cannot dial each other')
    .option('--slots <n>', 'builds at once (default: a quarter of the cores; 0: none)')
    .option('--engine <name>', 'auto (Docker, else Podman, else sandbox), docker, podman, sandbox, process (NO isolation), none')
    .option('--trust-builds', 'process engine, admin device: builds may do what you may')
    .option('--no-mdns', 'do not look for devices on the local network')
    .option('--detach', 'go on in the background; returns when the node is ready')
    .addHelpText('after', `
Examples:
  elder-node join                              first device: founds a mesh
  elder-node join --ticket-file ticket.txt     next device
  elder-node join --slots 2 --engine process   NO isolation: you say so; as an
      ordinary user, on a device that may invite, with --trust-builds too
  elder-node join --detach                     in the background
  ssh mini elder-node invite | elder-node join --ticket-file -

Flags that are settings stay: later starts go on with them until you say
otherwise, with another flag or with elder-node config (list, set, unset).
Runs until Ctrl-C; again Ctrl-C leaves at once. --timeout bounds the admission
(default 60s, exit 6), not the running node. /healthz, /readyz and /metrics
answer programs on this machine, on the port that is printed; to have none:
elder-node config set http.listen off`)
    .action(act<Options>(async (context, options, args) => await (options.detach === true ? joinDetached(context, options, args, command) : join(context, options, args)), { unbounded: true }))
  addLaterOptions(command, ['--from <url>', '--recovery-file <path>'])
}

async function join (context: Context, options: Options, words: string[]): Promise<number> {
  const { io, output, location } = context
  const stopping = new AbortController()
  context.takeInterrupts((count) => count > 1 ? io.exit(EXIT.cancelled) : stopping.abort(stopped(options, words)))
  const init = initOf(context, options, await readTicket(io, { words, file: options.ticketFile, signal: stopping.signal }))
  const recoveryFile = options.saveRecovery === undefined ? undefined : await reserveRecoveryFile(resolve(io.cwd, options.saveRecovery))
  const log = openNodeLog(location.log, { verbose: output.verbose })
  const guard = guardFaults(io, log)
  try {
    const node = await enter(context, { ...init, log, signal: stopping.signal }, guard.crashed, recoveryFile)
    return await serve(context, node, { stopping: stopping.signal, crashed: guard.crashed, log, recoverySaved: recoveryFile !== undefined, flags: options })
  } finally {
    guard.release()
  }
}

/** The same in the background: checked here, so that a wrong flag is said at once, then run by a process of its own. */
async function joinDetached (context: Context, options: Options, typed: string[], command: Command): Promise<number> {
  const { io, output, location } = context
  const stopping = new AbortController()
  context.takeInterrupts((count) => count > 1 ? io.exit(EXIT.cancelled) : stopping.abort(stopped(options, typed)))
  const ticket = await readTicket(io, { words: typed, file: options.ticketFile, signal: stopping.signal })
  initOf(context, options, ticket)
  const words = [...givenWords(command, new Set(['detach', 'json', 'dir', 'ticketFile'])), '--dir', location.dir]
  const detached = await detach(io, { words, ticket, dir: location.dir, signal: stopping.signal })
  announce(context, detached.ready, { recoverySaved: options.saveRecovery !== undefined, detached })
  if (output.json) return EXIT.ok
  output.line(`In the background as process ${detached.pid}; its log: ${location.log}`)
  return EXIT.ok
}

/** Starts the node. The file for the recovery text is filled or taken away, whatever happens. */
async function enter ({ io, output }: Context, init: JoinInit, crashed: Promise<never>, recoveryFile: RecoveryFile | undefined): Promise<JoinedNode> {
  let node: JoinedNode | undefined
  const done = init.ticket === undefined ? () => {} : output.progress(`waiting to be let in by ${doorsOf(init.ticket).join(', ')}`)
  try {
    const createNode = await io.nodeFactory()
    return node = await Promise.race([createNode({ httpDefault: 'auto', ...init }), crashed])
  } finally {
    done()
    if (await recoveryFile?.finish(node?.recovery) === false && node !== undefined) output.warn('no recovery text to save: it is given once, when a mesh is founded')
  }
}

function initOf (context: Context, options: Options, ticket: string | undefined): JoinInit {
  const { location, globals, agent } = context
  const { name, listen, announce, relay, slots, engine, trustBuilds, mdns } = options
  if (engine !== undefined && !(ENGINES as readonly string[]).includes(engine)) throw new ElderError('USAGE', `"${engine}" is not an engine`, `Use one of: ${ENGINES.join(', ')}.`)
  for (const address of [...listen ?? [], ...announce ?? []]) checkAddress(address)
  if (name !== undefined && toDeviceName(name, '') === '') throw new ElderError('USAGE', `"${name}" leaves nothing of a name: letters, digits, ".", "_" and "-" are kept`, 'Choose another, or leave out --name for the host name.')
  if (relay !== undefined && !isRelayChoice(relay)) throw new ElderError('USAGE', `"${relay}" is no choice for --relay`, 'Use one of: auto, on, off.')
  return {
    dir: location.dir, ...(mdns ? {} : { mdns }), timeoutMs: globals.timeoutMs ?? ADMISSION_MS, ...agent,
    ...(ticket === undefined ? {} : { ticket }), ...(name === undefined ? {} : { name }), ...(listen === undefined ? {} : { listen }),
    ...(announce === undefined ? {} : { announce }), ...(relay === undefined ? {} : { relay }), ...(engine === undefined ? {} : { engine: engine as EngineChoice }),
    ...(trustBuilds === undefined ? {} : { trustBuilds }),
    ...(slots === undefined ? {} : { slots: parseCount(slots, { min: 0, integer: true }) }),
  }
}

/** Before anything is founded with it. */
function checkAddress (address: string): void {
  try {
    ADDRESSES.parse(address)
  } catch {
    const port = /(?:^|:)(\d{1,5})$/.exec(address)?.[1]
    throw new ElderError('USAGE', `"${address}" is not an address`, `Write it as /ip4/0.0.0.0/tcp/${port ?? '4410'}.`)
  }
}

function isRelayChoice (text: string): text is NonNullable<JoinInit['relay']> { return ['auto', 'on', 'off'].includes(text) }

interface Running { stopping: AbortSignal, crashed: Promise<never>, log: NonNullable<JoinInit['log']>, recoverySaved: boolean, flags: JoinFlags }

/** Answers the control socket until a signal comes, the mesh says that this device is out, or a fault ends it. */
async function serve (context: Context, node: JoinedNode, { stopping, crashed, log, recoverySaved, flags }: Running): Promise<number> {
  let graceMs = 0
  try {
    keepFlags(context, flags)
    const control = await serveControl(node, context.location.socket, { log, exposed: node.exposed })
    try {
      const ready = await readyOf(node)
      announce(context, ready, { recoverySaved })
      sayOldName(context, ready, flags.name)
      tellParent(context.io, ready)
      const evicted = await Promise.race([node.evicted, node.left.then(departed => { graceMs = FAREWELL_MS; sayLeft(context, departed.mesh) }), aborted(stopping), crashed])
      if (evicted !== undefined) throw evicted
    } finally {
      if (stopping.aborted) context.output.note('stopping; Ctrl-C again leaves at once')
      await control.close({ graceMs })
    }
  } catch (error) {
    await node.stop({ unclean: codeOf(error) === 'CRASHED' })
    throw error
  }
  await node.stop()
  return EXIT.ok
}

/**
 * Said once, it holds for every later start, as a service too. After the start: what kept a node from starting is not kept. A node that runs
 * is not ended because its disk is full.
 */
function keepFlags ({ location, output }: Context, flags: JoinFlags): void {
  const { settings } = dataDirAt(location.dir)
  try {
    const given = settingsOfFlags(withPlainName(flags))
    const stored = readSettingsFile(settings)
    const isKept = Object.entries(given).every(([key, value]) => isDeepStrictEqual(stored[key], value))
    if (!isKept) writeSettingsFile(settings, { ...stored, ...given })
  } catch (error) {
    output.warn(`the flags hold for this start only: ${(error as Error).message}`)
  }
}

async function readyOf (node: JoinedNode): Promise<Ready> {
  const { device, mesh, joined, http, recovery } = node
  const { self, devices } = await node.status()
  const own = devices.find(({ id }) => id === device.id)
  return { device: { id: device.id, name: device.name }, mesh: { id: mesh.id, name: mesh.name }, joined, addresses: node.addresses(), offer: { slots: own?.slots.total ?? 0, engine: own?.engine ?? null, bare: self.engineNote.includes(NO_DEFAULT_IMAGE) }, ...(http === undefined ? {} : { http }), ...(recovery === undefined ? {} : { recovery }) }
}

async function aborted (signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return undefined
  return await new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }))
}
