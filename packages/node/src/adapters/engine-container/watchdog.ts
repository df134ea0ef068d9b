/**
 * Ends a container when this node dies, whatever its image holds and whatever runs in it: a shell outside of it that reads a
 * pipe of the node. A line means that the container is gone; end of file means that the node is.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { findTool } from '../system-tools.ts'

/**
 * Kills every process whose cgroup carries the container's id (but not Podman's conmon, which reports the end), for two seconds
 * because the daemon may be about to start it; asks the daemon to remove it where there is curl (on macOS the processes live in
 * another machine). What it leaves is an ended container, which the next life of the node sweeps.
 * Arguments: container id, grep, curl or nothing, socket.
 */
const WATCHDOG = `read -r done && exit 0
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  for f in $("$2" -lsF "$1" /proc/[0-9]*/cgroup 2>/dev/null); do
    "$2" -qs conmon "$f" && continue
    p=\${f#/proc/}
    kill -9 "\${p%/cgroup}"
  done
  [ "$turn" = 1 ] && [ -n "$3" ] && "$3" -s -m 10 -X DELETE --unix-socket "$4" "http://daemon/containers/$1?force=1&v=1" >/dev/null 2>&1 &
  sleep 0.1
done
wait`
const TRIGGERED_MS = 3_000

export class Watchdog {
  readonly #child: ChildProcess

  constructor (container: string, socketPath: string) {
    const args = ['-c', WATCHDOG, 'sh', container, findTool('grep') ?? 'grep', findTool('curl') ?? '', socketPath]
    this.#child = spawn(findTool('sh') ?? '/bin/sh', args, { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    this.#child.on('error', () => undefined)
    this.#child.stdin?.on('error', () => undefined)
    this.#child.unref()
  }

  /** The container is gone. */
  dismiss (): void { this.#child.stdin?.end('done\n') }

  /** The daemon does not do it: ends the container's processes without it. */
  async trigger (): Promise<void> {
    if (this.#child.exitCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await Promise.race([gone, delay(TRIGGERED_MS, undefined, { ref: false })])
  }
}
