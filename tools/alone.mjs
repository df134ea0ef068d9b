/** One process at a time, across processes: Node 20, no dependency. */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

const LOOK_MS = 100

/** Waits until no living process holds the lock, then holds it. @returns what gives it back */
export function alone (path) {
  const mine = `${path}.${process.pid}`
  for (let said = false; ;) {
    // A link is there whole or not at all.
    writeFileSync(mine, String(process.pid))
    try {
      linkSync(mine, path)
      return () => { rmSync(path, { force: true }) }
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    } finally {
      rmSync(mine, { force: true })
    }
    const holder = holderOf(path)
    if (holder === undefined) removeStale(path)
    else if (!said) console.error(`elder-node: waiting for process ${holder}, which installs or builds in this clone`)
    said = true
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS)
  }
}

/** Moved aside first: when another process was faster, what was moved is its fresh lock, and it gets it back. */
function removeStale (path) {
  const aside = `${path}.stale.${process.pid}`
  try {
    renameSync(path, aside)
    if (holderOf(aside) !== undefined) linkSync(aside, path)
  } catch {
    // Gone already, or taken again: the next look sees which.
  } finally {
    rmSync(aside, { force: true })
  }
}

/** The living process that holds it. */
function holderOf (path) {
  try {
    const pid = Number(readFileSync(path, 'utf8'))
    process.kill(pid, 0)
    return pid
  } catch (error) {
    // Of another user, and alive.
    return error.code === 'EPERM' ? 'of another user' : undefined
  }
}
