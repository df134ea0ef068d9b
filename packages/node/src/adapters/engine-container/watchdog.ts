/**
 * Ends a container when this node dies, whatever its image holds and whatever runs in it: a shell outside of it that reads a
 * pipe of the node, whose end of file means that the node is gone.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { findTool } from '../system-tools.ts'

/**
 * Kills the container's first process (with it the kernel ends its PID namespace, unless that is this one: then the number is
 * somebody else's by now) and every process whose cgroup carries the container's id, but not Podman's conmon, which reports the
 * end; for two seconds, because the daemon may be about to start it. Asks the daemon to remove it where there is curl (on macOS
 * the processes live in another machine). What is left is an ended container, which the next life of the node sweeps.
 * Lines it reads: `pid <number>` when the container runs, anything else when it is gone.
 * Arguments: container id, grep, curl or nothing, socket, readlink.
 */
const WATCHDOG = `pid=
while read -r word number; do
  [ "$word" = pid ] || exit 0
  pid=$number
done
if [ -n "$pid" ]; then
  space=$("$5" "/proc/$pid/ns/pid")
  [ -n "$space" ] && [ "$space" != "$("$5" /proc/self/ns/pid)" ] && kill -9 "$pid"
fi
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
    const args = ['-c', WATCHDOG, 'sh', container, findTool('grep') ?? 'grep', findTool('curl') ?? '', socketPath, findTool('readlink') ?? 'readlink']
    this.#child = spawn(findTool('sh') ?? '/bin/sh', args, { cwd: '/', env: { PATH: '/usr/bin:/bin' }, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    this.#child.on('error', () => undefined)
    this.#child.stdin?.on('error', () => undefined)
    this.#child.unref()
  }

  /** The container runs, with this first process. */
  started (pid: number): void { if (pid > 0) this.#child.stdin?.write(`pid ${pid}\n`) }

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
