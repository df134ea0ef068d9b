/** What only the words of a container tell of its end, where neither its exit code nor the kernel's counters do. */

/**
 * The first process of a container starts the command, and says so when it cannot. Docker's (tini) then ends with 127 as a shell
 * would, Podman's (catatonit) with 1, like any command that failed.
 */
const NOT_STARTED = /^ERROR \(catatonit:\d+\): failed to exec pid1: /
const NOT_FOUND = 127
/** How shells, Node, Go, Java and Rust say that there is no room for another process. */
const NO_PROCESS = /can('|no)t fork|fork: (retry|Resource temporarily unavailable)|fork failed|spawn \S+ EAGAIN|(unable|failed) to create (new |native )?(OS )?thread|failed to spawn thread|pthread_create.*(failed|unavailable)/i
const HEAD_BYTES = 256
const TAIL_BYTES = 2048

export class LastWords {
  #head = ''
  #tail = ''
  #bytes = 0

  /** Takes what a container prints; keeps little of it. */
  hear (data: Uint8Array): void {
    const end = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    if (this.#bytes < HEAD_BYTES) this.#head += end.toString('latin1', 0, HEAD_BYTES)
    this.#bytes += data.length
    this.#tail = (this.#tail + end.toString('latin1', Math.max(0, end.length - TAIL_BYTES))).slice(-TAIL_BYTES)
  }

  /** 127 when nothing was printed but that the command could not be started. */
  exitCode (code: number): number { return code === 1 && this.#bytes <= HEAD_BYTES && NOT_STARTED.test(this.#head) ? NOT_FOUND : code }

  /** The end of the output says that a process could not be made. */
  get noProcess (): boolean { return NO_PROCESS.test(this.#tail) }
}
