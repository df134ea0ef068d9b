/**
 * The first process of a container starts the command, and says so when it cannot. Docker's (tini) then ends with 127 as a shell
 * would, Podman's (catatonit) with 1, like any command that failed: its words tell the two apart.
 */

const WORDS = /^ERROR \(catatonit:\d+\): failed to exec pid1: /
const WORDS_BYTES_MAX = 256
const NOT_FOUND = 127

export class InitWord {
  #text = ''
  #bytes = 0

  /** Takes what a container prints; keeps no more than a line. */
  hear (data: Uint8Array): void {
    this.#bytes += data.length
    if (this.#bytes <= WORDS_BYTES_MAX) this.#text += Buffer.from(data).toString('latin1')
  }

  /** 127 when nothing was printed but that the command could not be started. */
  exitCode (code: number): number { return code === 1 && this.#bytes <= WORDS_BYTES_MAX && WORDS.test(this.#text) ? NOT_FOUND : code }
}
