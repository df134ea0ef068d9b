/**
 * What a build printed, for a terminal: colours pass, and so do tabs, line ends and clearing a line. Nothing else does: a build, or who ran it,
 * is no reason to write into the clipboard, to move the cursor, to rename the window or to make the terminal answer. A pipe gets the bytes as they are.
 */

/** ESC that begins no colour and clears no line, and the other control characters, those of 8 bits too. */
// oxlint-disable-next-line no-control-regex
const NOT_SHOWN = /\u001b(?!\[[0-9;:]{0,32}m|\[[0-2]?K)|[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f]/g
/** Perhaps the begin of one whose end comes with the next piece. */
// oxlint-disable-next-line no-control-regex
const BEGUN = /\u001b(?:\[[0-9;:]{0,32})?$/
const RESET = '\u001b[0m'

export class TerminalText {
  #held = ''
  #coloured = false

  take (text: string): string {
    const all = this.#held + text
    const at = BEGUN.exec(all)?.index ?? all.length
    this.#held = all.slice(at)
    this.#coloured ||= all.includes('\u001b')
    return all.slice(0, at).replace(NOT_SHOWN, '·')
  }

  /** What follows is somebody else's: ends colours. */
  end (): string {
    const text = this.#coloured ? RESET : ''
    this.#held = ''
    this.#coloured = false
    return text
  }
}
