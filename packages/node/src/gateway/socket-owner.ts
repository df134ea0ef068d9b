/**
 * Whose the control socket is. A data directory with a long path has its socket in a folder that may lie in a shared temporary one,
 * where anybody could have put a folder, and a socket, of that name first. Both sides look before they trust it: a node before it
 * listens, a command before it says anything.
 */
import type { Stats } from 'node:fs'
import { lstat, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import type { Location } from './location.ts'

const OTHERS_WRITE = 0o022
const OTHERS = 0o077

/** @throws ElderError `SOCKET_FOLDER` when somebody else owns the folder or may write to it */
export async function demandOwnFolder (folder: string, owner: number | undefined = process.getuid?.()): Promise<void> {
  if (owner === undefined) return
  const { uid, mode } = await lstat(folder)
  if (uid === owner && (mode & OTHERS_WRITE) === 0) return
  throw new ElderError('SOCKET_FOLDER', `${folder} belongs to somebody else or others may write to it`, `Choose another data directory with --dir, or: chmod 700 ${folder}`)
}

/** For a command that is about to connect. A socket that is not there is no fault: no node runs. @throws ElderError `NOT_YOURS`, `SOCKET_FOLDER`, `SOCKET_FOREIGN` */
export async function demandOwnSocket ({ dir, socket }: Pick<Location, 'dir' | 'socket'>): Promise<void> {
  const self = process.getuid?.()
  const there = await lstat(socket).catch(() => undefined)
  if (self === undefined || there === undefined) return
  const owner = await ownerOf(dir, self)
  if (owner !== self && self !== 0) throw notYours(socket)
  const folder = dirname(socket)
  // The data directory itself may be named by a link.
  if (folder !== dir) await demandOwnFolder(folder, owner)
  if (!isOwn(there, owner)) throw foreign(socket)
}

export function notYours (socket: string, cause?: unknown): ElderError {
  return new ElderError('NOT_YOURS', `the node at ${socket} belongs to another user`, 'Run the command as that user, or give your own --dir.', {}, { cause })
}

/** Root commands the node of whoever owns the data directory. */
async function ownerOf (dir: string, self: number): Promise<number> { return (await stat(dir).catch(() => undefined))?.uid ?? self }

function isOwn (socket: Stats, owner: number): boolean { return socket.isSocket() && socket.uid === owner && (socket.mode & OTHERS) === 0 }

function foreign (socket: string): ElderError {
  return new ElderError('SOCKET_FOREIGN', `${socket} was not made by a node of yours: it is no socket, somebody else owns it, or others may use it`, `Remove it, then start the node: elder-node join; or choose another data directory with --dir.`, { socket })
}
