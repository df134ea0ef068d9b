/** Removes a folder and all that is in it, however deep: paths longer than the system takes at once are no hindrance. */
import { rm } from 'node:fs/promises'
import { runTool } from './run-tool.ts'
import { findTool } from './system-tools.ts'

/** Whose rights the tools have; undefined: this process's own. */
export type Rights = number | undefined

/** A tool that hangs must not hold a slot for ever. */
const DEADLINE_MS = 300_000
/** Arguments of one call: an argument list has a bound. */
const PATHS_PER_CALL = 200

/** With the rights of this process, so only for what nobody else can change meanwhile. */
export async function removeAll (path: string): Promise<void> {
  // It names each file by its whole path and stops where that is too long, or where a build took its own right to write.
  await rm(path, { recursive: true, force: true }).catch(async () => {
    await unlock([path], undefined)
    await removeBelow([path], undefined)
    await rm(path, { recursive: true, force: true })
  })
}

/** The tool goes from folder to folder and never by a whole path. What it cannot remove stays, silently: look afterwards. */
export async function removeBelow (paths: string[], uid: Rights): Promise<void> { await each('rm', ['-rf', '--'], paths, uid) }

/** A build may have taken the rights to its own folders from itself. */
export async function unlock (paths: string[], uid: Rights): Promise<void> { await each('chmod', ['-R', 'u+rwx', '--'], paths, uid) }

async function each (tool: string, options: string[], paths: string[], uid: Rights): Promise<void> {
  for (let at = 0; at < paths.length; at += PATHS_PER_CALL) {
    const some = paths.slice(at, at + PATHS_PER_CALL)
    await runTool(findTool(tool) ?? tool, [...options, ...some], { uid, timeoutMs: DEADLINE_MS }).catch(() => undefined)
  }
}
