/**
 * Users for builds: each slot of each node on this machine has a uid of its own. Blocks are claimed machine-wide by files
 * that name the claiming process, so a dead node's block returns by itself.
 */
import { randomBytes } from 'node:crypto'
import { link, lstat, mkdir, readFile, readlink, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { ElderError } from '@elder-node/protocol'

/** Slots one node may have as root. */
const UIDS_PER_NODE = 64
/** Above the users of distributions and systemd's dynamic ones, below the ranges of subuid and nspawn. */
const FIRST = 70_000
const BLOCKS = 156

/** Of any node on this machine. */
export function isBuildUser (uid: number): boolean { return uid >= FIRST && uid < FIRST + BLOCKS * UIDS_PER_NODE }

interface Claim { pid: number, start: string, boot: string, namespace: string, owner: string }
export interface UidBlock { first: number, count: number, release: () => Promise<void> }

/**
 * Claims a block; the one that `owner` (the engine's root) had in an earlier life when it is still free.
 *
 * @param init.dir - Folder of the claim files. All nodes of a machine must share it, or they end each other's builds. @default /run/elder-node, else in the temporary folder
 * @throws ElderError `ENGINE_UNAVAILABLE` when no block is left or the folder belongs to somebody else.
 */
export async function claimUids (owner: string, init: { dir?: string } = {}): Promise<UidBlock> {
  const dir = await claimDir(init.dir)
  const mine: Claim = { ...await identity(), owner }
  const blocks = Array.from({ length: BLOCKS }, (_, i) => FIRST + i * UIDS_PER_NODE)
  const earlier: number[] = []
  for (const first of blocks) if ((await readClaim(join(dir, String(first))))?.owner === owner) earlier.push(first)
  for (const first of [...earlier, ...blocks]) {
    const path = join(dir, String(first))
    if (await take(path, mine)) return { first, count: UIDS_PER_NODE, release: async () => { await rm(path, { force: true }) } }
  }
  throw new ElderError('ENGINE_UNAVAILABLE', `all ${BLOCKS} blocks of build users are claimed in ${dir}`, `Stop a node, or remove ${dir} when none runs.`)
}

/** The user of a slot's builds. @throws ElderError `ENGINE_FAILED` */
export function uidOfSlot ({ first, count }: UidBlock, slot: number): number {
  if (!Number.isInteger(slot) || slot < 0 || slot >= count) throw new ElderError('ENGINE_FAILED', `slot ${slot} has no user: a node that runs as root has ${count}`, `Its owner sets fewer: elder-node config set slots ${count}`)
  return first + slot
}

async function take (path: string, mine: Claim): Promise<boolean> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(temporary, JSON.stringify(mine), { flag: 'wx', mode: 0o600 })
  try {
    // link() fails when the name exists: a claim is there whole or not at all.
    return await link(temporary, path).then(() => true, () => takeStale(path, temporary))
  } finally {
    await rm(temporary, { force: true })
  }
}

/** One at a time may replace a dead claim; who dies in between leaves the block locked until the folder is emptied. */
async function takeStale (path: string, temporary: string): Promise<boolean> {
  if (await alive(await readClaim(path))) return false
  const lock = `${path}.lock`
  if (!await mkdir(lock).then(() => true, () => false)) return false
  try {
    if (await alive(await readClaim(path))) return false
    await rename(temporary, path)
    return true
  } finally {
    await rmdir(lock)
  }
}

async function readClaim (path: string): Promise<Claim | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Claim
  } catch {
    return undefined
  }
}

/** A claim of another PID namespace cannot be judged from here: it counts as alive. */
async function alive (claim: Claim | undefined): Promise<boolean> {
  if (claim === undefined) return false
  const { boot, namespace } = await identity()
  if (claim.boot !== boot) return false
  return claim.namespace !== namespace || claim.start === await startOf(claim.pid)
}

async function identity (): Promise<Omit<Claim, 'owner'>> {
  const [start, boot, namespace] = await Promise.all([
    startOf(process.pid), readFile('/proc/sys/kernel/random/boot_id', 'utf8'), readlink('/proc/self/ns/pid'),
  ])
  return { pid: process.pid, start, boot: boot.trim(), namespace }
}

/** Start time in clock ticks since boot: tells a process from a later one with the same pid. Empty when there is none. */
async function startOf (pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}

async function claimDir (given: string | undefined): Promise<string> {
  for (const dir of given === undefined ? ['/run/elder-node', join(tmpdir(), 'elder-node-uids')].filter(isAbsolute) : [given]) {
    await mkdir(dir, { mode: 0o700, recursive: true }).catch(() => undefined)
    const stat = await lstat(dir).catch(() => undefined)
    if (stat?.isDirectory() === true && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0) return dir
  }
  throw new ElderError('ENGINE_UNAVAILABLE', 'the folder for the claims of build users cannot be made or belongs to somebody else', 'Make /run writable for root.')
}
