/** What `service` does to the machine: systemd, users and rights. Everything else of it is pure or plain files. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { lchown } from 'node:fs/promises'
import { ElderError } from '@elder-node/protocol'
import { findTool } from '../../adapters/system-tools.ts'

export interface Ran { code: number, stdout: string, stderr: string }

/** Behind an interface, so that a test can be a machine with or without systemd. */
export interface System {
  platform: NodeJS.Platform
  uid: number
  /** True when systemd is process 1 and its control tool is there. */
  hasSystemd (): boolean
  run (words: string[]): Promise<Ran>
  /** A user of that name without login and home, made when it is missing. */
  ensureUser (name: string): Promise<{ uid: number, gid: number }>
  hasGroup (name: string): Promise<boolean>
  giveTo (path: string, owner: { uid: number, gid: number }): Promise<void>
}

const TOOL_MS = 60_000

/** @param env of who calls: `systemctl --user` finds its bus by XDG_RUNTIME_DIR */
export function machine (env: NodeJS.ProcessEnv): System {
  const run = async ([name = '', ...args]: string[]): Promise<Ran> => {
    const tool = findTool(name)
    if (tool === undefined) return { code: 127, stdout: '', stderr: `${name} is not installed` }
    return await new Promise(resolve => execFile(tool, args, { env, timeout: TOOL_MS }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr })))
  }
  const ids = async (name: string): Promise<{ uid: number, gid: number } | undefined> => {
    const { code, stdout } = await run(['getent', 'passwd', name])
    const [, , uid, gid] = stdout.split(':')
    return code === 0 ? { uid: Number(uid), gid: Number(gid) } : undefined
  }
  return {
    platform: process.platform,
    uid: process.getuid?.() ?? -1,
    hasSystemd: () => existsSync('/run/systemd/system') && findTool('systemctl') !== undefined,
    run,
    async ensureUser (name) {
      const known = await ids(name)
      if (known !== undefined) return known
      const { stderr } = await run(['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/var/lib/elder-node', '--shell', '/usr/sbin/nologin', name])
      const made = await ids(name)
      if (made === undefined) throw new ElderError('SERVICE_USER', `The user ${name} cannot be made: ${stderr.trim()}`, `Make it by hand, then repeat: useradd --system --user-group --no-create-home ${name}`)
      return made
    },
    hasGroup: async name => (await run(['getent', 'group', name])).code === 0,
    giveTo: async (path, { uid, gid }) => { await lchown(path, uid, gid) },
  }
}
