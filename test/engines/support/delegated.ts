/** Control groups (version 1) given to an ordinary user, as a system delegates them; as far as they can be made here. */
import { chownSync, mkdirSync, rmdirSync } from 'node:fs'

let n = 0

/** `join`: files to which root writes the pid of a process that then becomes the user. */
export function delegated (uid: number | undefined): { join: string[], names: string[], remove: () => void } {
  const made = (uid === undefined ? [] : ['memory', 'pids']).flatMap(name => {
    const path = `/sys/fs/cgroup/${name}/elder-test-${process.pid}-${++n}`
    try {
      mkdirSync(path)
      chownSync(path, uid ?? 0, uid ?? 0)
      return [{ name, path }]
    } catch {
      return []
    }
  })
  return {
    join: made.map(({ path }) => `${path}/cgroup.procs`), names: made.map(({ name }) => name),
    remove: () => {
      for (const { path } of made) {
        try {
          rmdirSync(path)
        } catch {
          // A process that is still ending holds it; it is empty all the same.
        }
      }
    },
  }
}
